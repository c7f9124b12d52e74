// TensorFlow.js saves a model, or loads one and runs it: a JSON job on stdin, its answer as JSON on
// stdout. Started by tfjs_files.py, which keeps the cases.
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

function built([kind, config]) {
  const inner = { ...config };
  if (inner.layer) inner.layer = built(inner.layer);
  if (inner.cell) inner.cell = inner.cell.map(built);
  return tf.layers[kind](inner);
}

// Its own handler of models behind a URL, with a folder in the place of the server.
function served(folder) {
  const fetchFunc = async (url, { body } = {}) => {
    if (!body) return new Response(fs.readFileSync(path.join(folder, path.basename(url))));
    fs.mkdirSync(folder, { recursive: true });
    for (const [name, blob] of body) {
      fs.writeFileSync(path.join(folder, name), Buffer.from(await blob.arrayBuffer()));
    }
    return new Response('');
  };
  return tf.io.http('http://localhost/model.json', { fetchFunc });
}

async function main() {
  const job = JSON.parse(fs.readFileSync(0, 'utf8'));
  await tf.setBackend('cpu');
  const answer = { version: tf.version.tfjs };
  if (job.layers) {
    const model = tf.sequential({ layers: job.layers.map(built) });
    answer.shapes = model.weights.map(({ shape }) => shape);
    if (job.weights) {
      model.setWeights(job.weights.map((value) => tf.tensor(value)));
      await model.save(served(job.folder));
    }
  } else if (job.graph) {
    const model = await tf.loadGraphModel(served(job.folder));
    const output = await model.executeAsync(tf.tensor(job.x));
    const entries = Object.entries(model.weights).map(([name, [value]]) => [name, value]);
    answer.weights = Object.fromEntries(entries.map(([name, w]) => [name, w.arraySync()]));
    answer.h = output.arraySync();
  } else {
    const whole = await tf.loadLayersModel(served(job.folder));
    const part = tf.model({ inputs: whole.inputs, outputs: whole.layers[job.last].output });
    // A weight is written under its original name; the one in memory may have a number more.
    const named = whole.weights.map((w) => [w.originalName, w.read().arraySync()]);
    answer.weights = Object.fromEntries(named);
    answer.h = part.predict(tf.tensor(job.x)).arraySync();
  }
  console.log(JSON.stringify(answer));
}

main();
