// One TensorFlow.js layer, run once: a JSON job on stdin, its answer as JSON on stdout.
// Started by tfjs_cases.py, which keeps the cases.
const tf = require('@tensorflow/tfjs');

async function main() {
  const job = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  await tf.setBackend('cpu');
  const lstm = tf.layers.lstm({ returnSequences: true, returnState: true, ...job.lstm });
  const layer = job.bidirectional
    ? tf.layers.bidirectional({ layer: lstm, ...job.bidirectional })
    : lstm;
  layer.apply(tf.input({ shape: [job.x[0].length, job.x[0][0].length] }));
  if (job.weights) layer.setWeights(job.weights.map((value) => tf.tensor(value)));
  // A job without weights only asks for their names and shapes.
  const initialState = (job.state || []).map((value) => tf.tensor(value));
  const outputs = job.weights ? layer.apply(tf.tensor(job.x), { initialState }) : [];
  console.log(
    JSON.stringify({
      version: tf.version.tfjs,
      weights: layer.weights.map(({ name, shape }) => ({ name, shape })),
      outputs: outputs.map((output) => output.arraySync()),
    }),
  );
}

main();
