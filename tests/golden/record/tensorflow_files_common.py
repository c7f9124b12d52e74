"""What the scripts share that record files of TensorFlow; it runs on Python 3.6 as well.

A case is two files in ``tests/golden/tensorflow_files/``:

``<case>.zip``
    the files as TensorFlow wrote them, with their names and folders;
``<case>.npz``
    ``tensors/NAME``: what TensorFlow's own loader reads from them (bfloat16 as float32);
    ``inputs`` and TensorFlow's outputs ``h``, ``final_h``, ``final_c`` where the case runs an
    LSTM; and ``case``, a JSON record: the path to give, what made the files, and the settings
    that can be read from them.

Nothing here imports lstmcli.
"""

import json
import os
import shutil
import tempfile
import zipfile

import numpy as np

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(GOLDEN, "tensorflow_files")

T, B, I, H, P = (
    6,
    3,
    5,
    4,
    2,
)  # steps, batch rows, inputs, units, projected units; all differ
DATE = (1980, 1, 1, 0, 0, 0)


def uneven(rng, shape, scale=0.6):
    """Random float32 numbers around a mean that is not zero."""
    return rng.normal(0.07, scale, tuple(int(n) for n in shape)).astype(np.float32)


def keep(case, write, version, script, **record):
    """Let ``write(folder)`` write the files and give tensors and outputs; keep both.

    ``write`` returns ``(tensors, outputs)``: name -> array each.
    """
    if not os.path.isdir(FOLDER):
        os.mkdir(FOLDER)
    folder = tempfile.mkdtemp()
    try:
        tensors, outputs = write(folder)
        size = _zip(folder, os.path.join(FOLDER, case + ".zip"))
    finally:
        shutil.rmtree(folder)
    members = {"tensors/" + name: np.asarray(value) for name, value in tensors.items()}
    members.update({name: np.asarray(value) for name, value in outputs.items()})
    record.update(version=version, script=script)
    np.savez_compressed(
        os.path.join(FOLDER, case + ".npz"),
        case=np.array(json.dumps(record, sort_keys=True)),
        **members,
    )
    print("%s: %d tensors, %d bytes zipped" % (case, len(tensors), size))


def _zip(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for top, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                full = os.path.join(top, name)
                info = zipfile.ZipInfo(os.path.relpath(full, folder), DATE)
                info.compress_type = zipfile.ZIP_DEFLATED
                with open(full, "rb") as file:
                    archive.writestr(info, file.read())
    return os.path.getsize(path)
