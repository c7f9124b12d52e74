"""Checkpoints and frozen graphs of TensorFlow 1 cells, written and run by TensorFlow itself.

Recorded with tensorflow 1.0.1 and 1.4.1 (Python 3.6), 1.15.5 (Python 3.7), and 2.21.0 with
tf_keras 2.21.0 (Python 3.11) in its compat.v1 graph mode.

    pip install tensorflow==1.0.1 "protobuf<3.18" "numpy<1.17"
    pip install tensorflow==1.4.1 "protobuf<3.18" "numpy<1.17"
    pip install tensorflow==1.15.5 "protobuf<3.21" "numpy<1.19"
    pip install tensorflow==2.21.0 tf_keras==2.21.0
    python tests/golden/record/tensorflow1_files.py
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow
from tensorflow.python.ops.io_ops import restore_v2
from tensorflow_files_common import B, H, I, P, T, keep, uneven

VERSION = tensorflow.__version__
RELEASE = tuple(int(n) for n in VERSION.split(".")[:2])
tf = tensorflow.compat.v1 if RELEASE >= (2, 0) else tensorflow
if RELEASE >= (2, 0):
    tf.disable_v2_behavior()
(tf.compat.v1 if RELEASE >= (1, 13) else tf).logging.set_verbosity(tf.logging.ERROR)
cells = tf.nn.rnn_cell if RELEASE >= (1, 2) else tf.contrib.rnn
SaverDef = tf.train.SaverDef
CONVENTION = "tf1" if RELEASE >= (1, 2) else "tf1-old"
TWO_DEVICES = tf.ConfigProto(device_count={"CPU": 2})


def through_dynamic_rnn(make, x, dtype=tf.float32, **options):
    def build():
        h, state = tf.nn.dynamic_rnn(make(), tf.constant(x), dtype=dtype, **options)
        layers = state if isinstance(state[0], tuple) else [state]
        return {
            "h": h,
            "final_h": tf.stack([layer.h for layer in layers]),
            "final_c": tf.stack([layer.c for layer in layers]),
        }

    return build


def both_ways(make, x):
    def build():
        outputs, states = tf.nn.bidirectional_dynamic_rnn(
            make(), make(), tf.constant(x), [T] * B, dtype=tf.float32
        )
        return {
            "h": tf.concat(outputs, -1),
            "final_h": tf.stack([way.h for way in states]),
            "final_c": tf.stack([way.c for way in states]),
        }

    return build


def fill(rng, session):
    """Random numbers into every variable, in order of creation."""
    session.run(tf.global_variables_initializer())
    for variable in tf.global_variables():
        if variable.dtype.base_dtype.is_floating:
            value = uneven(rng, variable.get_shape().as_list())
            session.run(variable.assign(tf.cast(value, variable.dtype.base_dtype)))


def loaded(prefix, session):
    """Every tensor, by TensorFlow's own reader of checkpoints.

    Of V1 files it does not know every kind; the op RestoreV2 does.
    """
    reader = tf.train.NewCheckpointReader(prefix)
    kinds = {v.op.name: v.dtype.base_dtype for v in tf.global_variables()}
    tensors = {}
    for name in reader.get_variable_to_shape_map():
        try:
            tensors[name] = plain(reader.get_tensor(name))
        except tf.errors.UnimplementedError:
            (restored,) = restore_v2(prefix, [name], [""], [kinds[name]])
            tensors[name] = plain(session.run(restored))
    return tensors


def plain(value):
    value = np.asarray(value)
    return value.astype(np.float32) if value.dtype.name == "bfloat16" else value


def kept(case, write, **record):
    record.setdefault("convention", "tf1" if RELEASE >= (1, 2) else "tf1-old")
    name = "tf%d.%d_%s" % (*RELEASE, case)
    keep(name, write, "tensorflow " + VERSION, "tensorflow1_files.py", **record)


def record(
    case,
    seed,
    build,
    version="V2",
    path="model.ckpt",
    sharded=False,
    train=False,
    whole=(),
    **record,
):
    """Build the graph, fill its variables, run it, save it.

    ``whole`` names partitioned variables: the old reader cannot load them, the graph joins them.
    """
    rng = np.random.RandomState(seed)
    x = uneven(rng, (B, T, I))

    def write(folder):
        with tf.Graph().as_default(), tf.Session(config=TWO_DEVICES) as session:
            fetches = build(x)
            if train:
                loss = tf.reduce_sum(fetches["h"])
                tf.train.AdamOptimizer(use_locking=True).minimize(loss)
            fill(rng, session)
            saver = tf.train.Saver(
                write_version=getattr(SaverDef, version), sharded=sharded
            )
            prefix = saver.save(session, os.path.join(folder, "model.ckpt"))
            tensors = {} if whole else loaded(prefix, session)
            for name in whole:
                parts = [
                    v
                    for v in tf.global_variables()
                    if v.op.name.startswith(name + "/part_")
                ]
                tensors[name] = np.concatenate(session.run(parts), 0)
            outputs = session.run(fetches) if fetches else {}
        if outputs:
            outputs["inputs"] = x
        return tensors, outputs

    kept(case, write, path=path, **record)


def record_saved_model(case, seed, build, **record):
    """A SavedModel of a graph and its variables, without Keras."""
    rng = np.random.RandomState(seed)
    x = uneven(rng, (B, T, I))

    def write(folder):
        with tf.Graph().as_default(), tf.Session() as session:
            fetches = build(x)
            fill(rng, session)
            model = os.path.join(folder, "model")
            tf.saved_model.simple_save(session, model, {"x": tf.constant(x)}, fetches)
            tensors = loaded(os.path.join(model, "variables", "variables"), session)
            outputs = session.run(fetches)
        outputs["inputs"] = x
        return tensors, outputs

    kept(case, write, path="model", **record)


def record_frozen(case, seed, build, outputs=("h", "final_h", "final_c"), **record):
    """A graph with its variables made constants."""
    rng = np.random.RandomState(seed)
    x = uneven(rng, (B, T, I))

    def write(folder):
        with tf.Graph().as_default(), tf.Session() as session:
            fetches = {k: tf.identity(v, name="out_" + k) for k, v in build(x).items()}
            fill(rng, session)
            frozen = tf.graph_util.convert_variables_to_constants(
                session, session.graph_def, ["out_" + k for k in outputs]
            )
            with open(os.path.join(folder, "frozen.pb"), "wb") as file:
                file.write(frozen.SerializeToString())
            names = [v.op.name for v in tf.global_variables()]
            tensors = dict(zip(names, session.run(tf.global_variables())))
            outputs_ = session.run(fetches)
        outputs_["inputs"] = x
        return tensors, outputs_

    kept(case, write, path="frozen.pb", **record)


def everything(x):
    return through_dynamic_rnn(
        lambda: cells.LSTMCell(
            H,
            use_peepholes=True,
            num_proj=P,
            forget_bias=0.6,
            cell_clip=0.5,
            proj_clip=0.2,
        ),
        x,
    )()


EVERYTHING = {"forget_bias": 0.6, "cell_clip": 0.5, "projection_clip": 0.2}


def in_parts(x):
    """The kernel is split in three parts along its rows."""
    with tf.variable_scope("net", partitioner=tf.fixed_size_partitioner(3)):
        return through_dynamic_rnn(lambda: cells.LSTMCell(H, forget_bias=1.5), x)()


def two_layers(x):
    """Two cells that differ in their forget bias."""
    return through_dynamic_rnn(
        lambda: cells.MultiRNNCell(
            [cells.BasicLSTMCell(H, forget_bias=n) for n in (0.3, 2.0)]
        ),
        x,
    )()


def relu(x):
    return through_dynamic_rnn(lambda: cells.LSTMCell(H, activation=tf.nn.relu), x)()


def projection_clip_alone(x):
    return through_dynamic_rnn(
        lambda: cells.LSTMCell(H, num_proj=P, proj_clip=0.2), x
    )()


def bidirectional(x):
    return both_ways(lambda: cells.LSTMCell(H, forget_bias=0.0), x)()


def stack():
    return cells.MultiRNNCell([cells.LSTMCell(H, forget_bias=n) for n in (0.3, 2.0)])


def one_way(way):
    """One of the two stacks that run both ways beside each other."""

    def build(x):
        outputs, states = tf.nn.bidirectional_dynamic_rnn(
            stack(), stack(), tf.constant(x), [T] * B, dtype=tf.float32
        )
        return {
            "h": outputs[way],
            "final_h": tf.stack([layer.h for layer in states[way]]),
            "final_c": tf.stack([layer.c for layer in states[way]]),
        }

    return build


def both_ways_in_each_layer(x):
    """Layers that each take what both directions of the one below give."""
    ways = [[cells.LSTMCell(H, forget_bias=n) for n in (0.3, 2.0)] for _ in "fb"]
    h, forward, backward = tensorflow.contrib.rnn.stack_bidirectional_dynamic_rnn(
        ways[0], ways[1], tf.constant(x), dtype=tf.float32
    )
    states = [state for layer in zip(forward, backward) for state in layer]
    return {
        "h": h,
        "final_h": tf.stack([state.h for state in states]),
        "final_c": tf.stack([state.c for state in states]),
    }


def scope_of_its_own(x):
    """Both ways in a scope of another name; without lengths another op reverses."""
    outputs, _ = tf.nn.bidirectional_dynamic_rnn(
        cells.LSTMCell(H),
        cells.LSTMCell(H),
        tf.constant(x),
        dtype=tf.float32,
        scope="BiRNN",
    )
    return {"h": tf.concat(outputs, -1)}


def forward_in_both_scopes(x):
    """What is called bw runs forward."""
    outputs = []
    for scope in ("fw", "bw"):
        with tf.variable_scope(scope):
            outputs.append(
                tf.nn.dynamic_rnn(cells.LSTMCell(H), tf.constant(x), dtype=tf.float32)
            )
    return {"h": tf.concat([h for h, _ in outputs], -1)}


def gru(x):
    h, _ = tf.nn.dynamic_rnn(cells.GRUCell(H), tf.constant(x), dtype=tf.float32)
    return {"h": h}


def block_cell(x):
    make = tensorflow.contrib.rnn.LSTMBlockCell
    return through_dynamic_rnn(lambda: make(H, forget_bias=0.7, cell_clip=0.5), x)()


def block_fused_cell(x):
    """The fused cell takes the steps first."""
    cell = tensorflow.contrib.rnn.LSTMBlockFusedCell(H, forget_bias=0.7, cell_clip=0.5)
    h, state = cell(tf.transpose(tf.constant(x), (1, 0, 2)), dtype=tf.float32)
    return {"h": tf.transpose(h, (1, 0, 2)), "final_h": state.h, "final_c": state.c}


def cudnn_compatible(x):
    """What a checkpoint of CudnnLSTM holds, in the cell that reads it without a GPU."""
    make = tensorflow.contrib.cudnn_rnn.CudnnCompatibleLSTMCell
    return through_dynamic_rnn(lambda: make(H), x)()


def on_two_devices(x):
    """Variables on two devices: a sharded saver writes two shards."""
    with tf.device("/cpu:1"):
        tf.get_variable("elsewhere", (3, 2))
    with tf.device("/cpu:0"):
        return through_dynamic_rnn(lambda: cells.LSTMCell(H), x)()


def dtypes(x, bfloat16):
    """One variable of every kind that a checkpoint may hold."""
    kinds = [
        "float64",
        "int32",
        "uint8",
        "int16",
        "int8",
        "int64",
        "bool",
        "uint16",
        "float16",
    ]
    kinds += ["complex64"] + ["complex128"] * (RELEASE >= (1, 4))
    for kind in kinds:
        value = (x[0, :2, :3] * 9).astype(kind)
        tf.Variable(tf.constant(value), name="of_" + kind)
    if bfloat16:
        tf.Variable(tf.cast(tf.constant(x[0, :2, :3]), tf.bfloat16), name="of_bfloat16")
    tf.Variable(tf.zeros((2, 3)), name="zeros")
    tf.Variable(tf.constant(2.5), name="scalar")
    return {}


if __name__ == "__main__":
    for version in ("V1", "V2"):
        low = version.lower()
        record("everything_" + low, 1, everything, version, settings=EVERYTHING)
        bfloat16 = version == "V2" and RELEASE >= (1, 15)
        record(
            "dtypes_" + low,
            2,
            lambda x, bfloat16=bfloat16: dtypes(x, bfloat16),
            version,
        )
    if RELEASE >= (1, 4):
        for version in ("V1", "V2"):
            record(
                "partitioned_" + version.lower(),
                3,
                in_parts,
                version,
                whole=["net/rnn/lstm_cell/kernel"],
                settings={"forget_bias": 1.5},
            )
    record(
        "two_shards_v1",
        4,
        on_two_devices,
        "V1",
        sharded=True,
        settings={"forget_bias": 1.0},
    )
    record("two_layers_trained", 5, two_layers, train=True)
    if RELEASE >= (1, 15):
        record(
            "two_shards_v2",
            4,
            on_two_devices,
            sharded=True,
            settings={"forget_bias": 1.0},
        )
        record("bidirectional", 6, bidirectional, settings={"forget_bias": 0.0})
        record("relu", 7, relu, settings={"forget_bias": 1.0, "activation": "relu"})
        record(
            "projection_clip_alone",
            8,
            projection_clip_alone,
            settings={"forget_bias": 1.0, "projection_clip": 0.2},
        )
        record_saved_model("saved_model", 10, everything, settings=EVERYTHING)
    record_frozen("frozen", 9, everything, settings=EVERYTHING)
    if RELEASE == (1, 15):
        block = {"forget_bias": 0.7, "cell_clip": 0.5}
        record("block_cell", 11, block_cell, settings=block)
        record("block_fused_cell", 12, block_fused_cell, settings=block)
        record(
            "cudnn_compatible",
            13,
            cudnn_compatible,
            settings={"forget_bias": 0.0},
            convention="tf1-cudnn",
        )
    if RELEASE >= (1, 15):
        for way, scope in enumerate(("fw", "bw")):
            record("bidirectional_stacks_" + scope, 16, one_way(way), layer=scope)
        record(
            "bidirectional_scope", 17, scope_of_its_own, settings={"forget_bias": 1.0}
        )
        record(
            "bidirectional_not",
            18,
            forward_in_both_scopes,
            settings={"forget_bias": 1.0},
        )
    if RELEASE == (1, 15):
        record("bidirectional_layers", 19, both_ways_in_each_layer)
        record("gru", 21, gru)
        record_frozen("gru_frozen", 21, gru, outputs=["h"])
    if RELEASE >= (2, 0):  # loops as functions, variables as resources
        tf.enable_control_flow_v2()
        tf.enable_resource_variables()
        record("functional_loop", 14, everything, settings=EVERYTHING)
        record("functional_loop_backward", 20, one_way(1), layer="bw")
        record_frozen("functional_loop_frozen", 15, everything, settings=EVERYTHING)
