"""Arrays pickled by Python 2.7 in each of its protocols, whose strings are bytes.

Recorded with numpy 1.16.6 on Python 2.7.18: python tests/golden/record/pickle_files_python2.py

A case is ``tests/golden/pickle_files/python2_protocol<N>.pkl`` and ``python2.npz`` with the
arrays, named as PyTorch names those of an LSTM.
"""

import os
import pickle

import numpy as np

FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "pickle_files"
)
H, I = 3, 5

rng = np.random.RandomState(27)
shapes = [
    ("weight_ih_l0", (4 * H, I)),
    ("weight_hh_l0", (4 * H, H)),
    ("bias_ih_l0", (4 * H,)),
]
shapes += [("bias_hh_l0", (4 * H,))]
arrays = {
    name: rng.normal(0.07, 0.6, shape).astype(np.float32) for name, shape in shapes
}
np.savez(os.path.join(FOLDER, "python2.npz"), **arrays)
for protocol in range(3):
    path = os.path.join(FOLDER, "python2_protocol%d.pkl" % protocol)
    with open(path, "wb") as file:
        pickle.dump({"model": arrays, "note": "it's \xe9 \\ new"}, file, protocol)
