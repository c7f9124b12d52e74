"""Files with the number types that NumPy lacks, as JAX and safetensors write them.

Recorded with jax 0.10.2, ml_dtypes 0.6.0, safetensors 0.8.0, numpy 2.4.

    pip install jax ml_dtypes safetensors
    python tests/golden/record/bfloat16_files.py

``float32.npz`` has the same tensors as float32, cast by ml_dtypes.
"""

from __future__ import annotations

from importlib.metadata import version

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from common import GOLDEN, H, I, numbers, uneven
from safetensors.flax import save_file

FOLDER = GOLDEN / "bfloat16"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rng = numbers(1801)
    shapes = {"kernel": (I, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
    tensors = {
        name: jnp.asarray(uneven(rng, *s), jnp.bfloat16) for name, s in shapes.items()
    }
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38], np.float32)
    tensors["odd"] = jnp.asarray(odd, jnp.bfloat16)
    np.savez(FOLDER / "jax.npz", **tensors)
    np.save(FOLDER / "fortran.npy", np.asfortranarray(tensors["kernel"]))
    eighth = {"scales": jnp.asarray([1.5, -2.0], ml_dtypes.float8_e4m3fn)}
    save_file(tensors | eighth, FOLDER / "jax.safetensors", metadata={"format": "flax"})
    single = {
        name: np.asarray(array).astype(np.float32) for name, array in tensors.items()
    }
    np.savez(FOLDER / "float32.npz", **single)
    print(
        *(
            f"{name} {version(name)}"
            for name in ("jax", "ml_dtypes", "safetensors", "numpy")
        )
    )


if __name__ == "__main__":
    main()
