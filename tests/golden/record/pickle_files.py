"""Plain pickles: PaddlePaddle's .pdparams, Haiku's parameters, a pickled state dict of PyTorch.

Environments: pip install paddlepaddle==3.3.1, or jax==0.10.2 dm-haiku==0.0.17, or torch==2.13.0.
Run in each, from the top of the checkout: python tests/golden/record/pickle_files.py NAME
with NAME paddle, haiku or torch. Kept as ``torch_files.py`` keeps its cases, beside them in
``tests/golden/pickle_files``.
"""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

import numpy as np
from common import GOLDEN, B, H, I, T, numbers, uneven

FOLDER = GOLDEN / "pickle_files"


def keep(
    file: str, version: str, tensors: dict[str, Any], x: Any, **answers: Any
) -> None:
    """Keep the tensors as the framework's own loader gives them, and its answers to x (B, T, I)."""
    record = {"file": file, "version": version, "script": "pickle_files.py"}
    members = {
        f"tensors/{name}": np.asarray(tensor) for name, tensor in tensors.items()
    }
    members |= {name: np.asarray(answer) for name, answer in answers.items()}
    path = FOLDER / f"{file.rpartition('.')[0]}.npz"
    np.savez_compressed(
        path, case=np.array(json.dumps(record)), inputs=np.asarray(x), **members
    )
    print(file, len(members))


def paddle() -> None:
    """nn.LSTM of two layers in both directions; load gives its parameters under two names each."""
    import paddle as pd

    rng = numbers(1)
    layer = pd.nn.LSTM(I, H, num_layers=2, direction="bidirect")
    for parameter in layer.parameters():
        parameter.set_value(uneven(rng, *parameter.shape))
    layer.eval()
    x = uneven(rng, B, T, I)
    y, (h, c) = layer(pd.to_tensor(x))
    path = str(FOLDER / "paddle.pdparams")
    pd.save(layer.state_dict(), path)
    loaded = {name: tensor.numpy() for name, tensor in pd.load(path).items()}
    version = f"paddlepaddle {pd.__version__}"
    keep(
        "paddle.pdparams",
        version,
        loaded,
        x,
        h=y.numpy(),
        final_h=h.numpy(),
        final_c=c.numpy(),
    )


def haiku() -> None:
    """hk.LSTM's parameters, as jax arrays in a pickled dict of dicts."""
    import haiku as hk
    import jax

    def net(x: Any) -> Any:
        return hk.dynamic_unroll(
            core := hk.LSTM(H), x, core.initial_state(B), time_major=False
        )

    rng = numbers(2)
    x = uneven(rng, B, T, I)
    model = hk.without_apply_rng(hk.transform(net))
    params = model.init(jax.random.PRNGKey(0), x)
    params = jax.tree_util.tree_map(
        lambda a: jax.numpy.asarray(uneven(rng, *a.shape)), params
    )
    y, state = model.apply(params, x)
    path = FOLDER / "haiku.pkl"
    path.write_bytes(pickle.dumps(params))
    loaded = pickle.loads(path.read_bytes())
    tensors = {
        f"{outer}.{name}": a
        for outer, held in loaded.items()
        for name, a in held.items()
    }
    version = f"dm-haiku {hk.__version__}, jax {jax.__version__}"
    keep(
        "haiku.pkl", version, tensors, x, h=y, final_h=state.hidden, final_c=state.cell
    )


def torch() -> None:
    """A state dict that was pickled, not saved: each storage is a file of its own within."""
    import torch as t

    rng = numbers(3)
    layer = t.nn.LSTM(I, H, batch_first=True)
    with t.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(t.from_numpy(uneven(rng, *parameter.shape)))
    x = uneven(rng, B, T, I)
    with t.no_grad():
        y, (h, c) = layer(t.from_numpy(x))
    path = FOLDER / "torch.pkl"
    path.write_bytes(pickle.dumps(layer.state_dict()))
    tensors = pickle.loads(path.read_bytes())
    keep("torch.pkl", f"torch {t.__version__}", tensors, x, h=y, final_h=h, final_c=c)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    {"paddle": paddle, "haiku": haiku, "torch": torch}[sys.argv[1]]()
