"""Arrays as programs in C, Rust, JavaScript and Octave write them, and pandas in Markdown.

Recorded with gcc 12.4.0, rustc 1.95.0, Node.js 20.20.2, GNU Octave 9.4.0,
pandas 3.1.1, tabulate 0.10.0.

    apt-get install gcc rustc nodejs octave
    pip install numpy pandas tabulate
    python tests/golden/record/languages.py

Each program gets the same float32 numbers, as a file of raw bytes, and prints them in its own way.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas
from common import GOLDEN, numbers

FOLDER = GOLDEN / "languages"
T, H, WIDE = 6, 3, 20

C = r"""
#include <stdio.h>
static float h[6][3];
int main(int argc, char **argv) {
  FILE *f = fopen("h.bin", "rb");
  if (fread(h, sizeof h, 1, f) != 1) return 1;
  char kind = argv[1][0];
  if (kind == 'a') {
    printf("/* h of every step */\nstatic const float h[6][3] = {\n");
    for (int t = 0; t < 6; t++)
      printf("  { %.9ff, %.9ff, %.9ff },  // step %d\n", h[t][0], h[t][1], h[t][2], t);
    printf("};\n");
  }
  for (int t = 0; t < 6 && kind == 'l'; t++)
    printf("[info] t=%d h: %f %f %f\n", t, h[t][0], h[t][1], h[t][2]);
  for (int t = 0; t < 6 && kind == 's'; t++)
    printf("step %d: %.6e, %.6e, %.6e\n", t + 2, h[t][0], h[t][1], h[t][2]);
  for (int t = 0; t < 6 && kind == 'i'; t++)
    for (int u = 0; u < 3; u++) printf("h[%d][%d] = %.8f\n", t, u, h[t][u]);
  return 0;
}
"""

RUST = r"""
use std::fs;
fn main() {
    let bytes = fs::read("h.bin").unwrap();
    let flat: Vec<f32> = bytes
        .chunks(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let h: Vec<Vec<f32>> = flat.chunks(3).map(|row| row.to_vec()).collect();
    match std::env::args().nth(1).unwrap().as_str() {
        "debug" => println!("h = {:?}", h),
        "pretty" => println!("{:#?}", h),
        "dbg" => { for (t, row) in h.iter().enumerate() { println!("t={t} h={row:?}"); } }
        _ => {
            let rows: Vec<String> = h.iter().map(|r| format!("    vec!{r:?}")).collect();
            println!("let h: Vec<Vec<f32>> = vec![\n{},\n];", rows.join(",\n"));
        }
    }
}
"""

NODE = r"""
const raw = require("fs").readFileSync("h.bin");
const flat = new Float32Array(raw.buffer, raw.byteOffset, 18);
const rows = [];
for (let t = 0; t < 6; t++) rows.push(flat.slice(3 * t, 3 * t + 3));
const kind = process.argv[2];
if (kind === "log") console.log(rows);
if (kind === "flat") console.log(flat);
if (kind === "source")
  console.log("const h = [\n" + rows.map((r) => `  new Float32Array([${r}]),`).join("\n") + "\n];");
if (kind === "typed") console.log(JSON.stringify({ h: flat }));
if (kind === "tensor")
  console.log(JSON.stringify({ h: { dims: [6, 3], type: "float32", cpuData: flat, size: 18 } }));
const records = rows.map((r, t) => ({ step: t, out: { h: Array.from(r) } }));
if (kind === "records") console.log(JSON.stringify({ run: records }));
"""

OCTAVE = r"""
f = fopen("h.bin"); h = fread(f, [3, 6], "single=>single")'; fclose(f);
f = fopen("wide.bin"); wide = fread(f, [20, 4], "single=>single")'; fclose(f);
f = fopen("h.bin"); both = permute(reshape(fread(f, 18, "single=>single"), [3, 2, 3]), [2, 1, 3]);
small = h * 1e-4;
row = h(1, :);
"""


def keep(name: str, text: str) -> None:
    """One text."""
    (FOLDER / f"{name}.txt").write_text(text)
    print(f"{name}: {len(text)} characters")


def main() -> None:
    """All texts, and the arrays that they show."""
    FOLDER.mkdir(exist_ok=True)
    rng = numbers(851)
    h = rng.normal(0, 0.5, (T, H)).astype("<f4")
    wide = rng.normal(0, 0.5, (4, WIDE)).astype("<f4")
    np.savez(FOLDER / "arrays.npz", h=h, wide=wide)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "h.bin").write_bytes(h.tobytes())
        (here / "wide.bin").write_bytes(wide.tobytes())
        (here / "m.c").write_text(C)
        (here / "m.rs").write_text(RUST)
        (here / "m.js").write_text(NODE)

        def run(*command: str) -> str:
            return subprocess.run(
                command, cwd=here, check=True, capture_output=True, text=True
            ).stdout

        run("gcc", "-o", "c", "m.c")
        run("rustc", "-o", "rust", "m.rs")
        for name in ("array", "log", "steps", "index"):
            keep(f"c-{name}", run("./c", name))
        for name in ("debug", "pretty", "dbg", "source"):
            keep(f"rust-{name}", run("./rust", name))
        for name in ("log", "flat", "source", "typed", "tensor", "records"):
            keep(f"node-{name}", run("node", "m.js", name))
        for name, command in {
            "short": "h", "long": "format long\nh", "wide": "wide", "small": "small", "row": "row",
            "pages": "both", "two": "h\nwide",
        }.items():  # fmt: skip
            keep(
                f"octave-{name}", run("octave", "-qf", "--eval", f"{OCTAVE}\n{command}")
            )
    frame = pandas.DataFrame(h)
    keep("pandas", frame.to_markdown() + "\n")
    frame.columns = pandas.Index([f"h[{n}]" for n in range(H)])
    frame.index.name = "step"
    keep("pandas-named", frame.to_markdown(floatfmt=".8f") + "\n")


if __name__ == "__main__":
    main()
