/* A port of a Keras LSTM, with one mistake. cc -o lstm_c lstm.c -lm && ./lstm_c > c.txt
   With a file of raw float32, as in ./lstm_c inputs.f32, it runs over these in place of X. */

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "weights.h"

static float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

int main(int argc, char **argv) {
    FILE *inputs = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (argc > 1 && !inputs) return perror(argv[1]), 1;
    float x[I], h[H] = {0}, c[H] = {0};
    for (int t = 0; inputs ? fread(x, sizeof x, 1, inputs) : t < T; t++) {
        if (!inputs) memcpy(x, X + t * I, sizeof x);
        float z[4 * H];
        for (int n = 0; n < 4 * H; n++) {
            z[n] = BIAS[n];
            for (int k = 0; k < I; k++) z[n] += x[k] * KERNEL[k * 4 * H + n];
            for (int k = 0; k < H; k++) z[n] += h[k] * RECURRENT[n * H + k];
        }
        for (int u = 0; u < H; u++) {
            float i = sigmoid(z[u]), f = sigmoid(z[H + u]);
            float g = tanhf(z[2 * H + u]), o = sigmoid(z[3 * H + u]);
            c[u] = f * c[u] + i * g;
            h[u] = o * tanhf(c[u]);
            printf("%.7f%c", h[u], u < H - 1 ? ' ' : '\n');
        }
    }
    return 0;
}
