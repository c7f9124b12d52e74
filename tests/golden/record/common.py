"""What every recording script shares: the sizes, the uneven numbers, and how a case is kept.

A case is two files in ``tests/golden/<framework>/``:

``<case>.weights.npz``
    the tensors under the names and in the shapes in which the framework itself keeps them,
    as a user would dump them with ``numpy.savez``;
``<case>.npz``
    ``inputs``; what the framework answered (``h``, ``final_h``, ``final_c``, and gates where it
    shows them), each exactly in the axes in which the framework returned it; where the case has
    them ``initial_state.h``, ``initial_state.c``, ``lengths``, ``mask``; and ``case``, a JSON
    record of origin, version and settings.

A case of a file that the framework wrote has that file in the place of ``.weights.npz``; ``file``
of its record names it. ``<case>.tensors.npz`` is what the framework itself loads from that file,
under the names by which lstmcli hands the tensors on.

Nothing here, and nothing in a recording script, imports lstmcli: our own code never produces its
own expected values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent

# All sizes differ, I is neither 4H nor 3H and I + H is not 4H: no axis can pass for another.
T, B, I, H, P = 7, 4, 5, 3, 2  # steps, batch rows, inputs, units, projected units
LENGTHS = np.array([7, 3, 5, 1])  # valid steps of each row
LENGTHS_WITH_ZERO = np.array([7, 0, 5, 2])  # for the frameworks that allow an empty row


def numbers(seed: int) -> np.random.Generator:
    """A generator for one case; every tensor of the case is drawn from it in turn."""
    return np.random.default_rng(seed)


def uneven(rng: np.random.Generator, *shape: int, scale: float = 0.6) -> np.ndarray:
    """Random float32 numbers around a mean that is not zero: no symmetry, no equal blocks."""
    return rng.normal(0.07, scale, shape).astype(np.float32)


def save(
    framework: str,
    case: str,
    weights: dict[str, Any],
    inputs: Any,
    expected: dict[str, Any],
    *,
    convention: str,
    version: str,
    script: str,
    layout: str,
    settings: dict[str, Any] | None = None,
    initial: dict[str, Any] | None = None,
    lengths: Any = None,
    mask: Any = None,
    note: str = "",
    file: str = "",
) -> None:
    """Keep one case.

    ``convention`` is the row of lstmcli's table that the case stands for; ``version`` names the
    framework and its version (``"torch 2.13.0"``); ``script`` is the recording script's file name;
    ``layout`` says how inputs lie: ``"batch"`` (B, T, I), ``"time"`` (T, B, I) or ``"steps"``
    (T, I). ``settings`` are those that are in no tensor, by lstmcli's option names with ``_``
    (``{"cell_clip": 0.4}``). ``initial`` holds ``h`` and ``c`` as the framework takes them.
    ``file`` is the file that the framework wrote, by its path in the framework's folder.
    """
    folder = GOLDEN / framework
    folder.mkdir(exist_ok=True)
    tensors = {name: np.asarray(value) for name, value in weights.items()}
    kind = "tensors" if file else "weights"
    large = sum(array.nbytes for array in tensors.values()) > 1 << 14
    (np.savez_compressed if large else np.savez)(
        folder / f"{case}.{kind}.npz", **tensors
    )
    members = {"inputs": np.asarray(inputs)}
    members.update({name: np.asarray(value) for name, value in expected.items()})
    if initial is not None:
        members.update(
            {f"initial_state.{k}": np.asarray(v) for k, v in initial.items()}
        )
    if lengths is not None:
        members["lengths"] = np.asarray(lengths)
    if mask is not None:
        members["mask"] = np.asarray(mask)
    record = {
        "convention": convention,
        "version": version,
        "script": script,
        "layout": layout,
        "settings": settings or {},
        "note": note,
        "file": file,
    }
    np.savez(folder / f"{case}.npz", case=np.array(json.dumps(record)), **members)
    shapes = ", ".join(f"{k} {v.shape}" for k, v in members.items())
    print(f"{framework}/{case}: {shapes}")
