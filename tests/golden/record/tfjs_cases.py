"""TensorFlow.js layers, run by Node.js through tfjs_cases.js.

Recorded with @tensorflow/tfjs 4.22.0 on Node.js 20.

    npm install @tensorflow/tfjs@4.22.0
    pip install numpy
    NODE_PATH=node_modules python tests/golden/record/tfjs_cases.py
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from common import B, H, I, T, numbers, save, uneven

PROGRAM = Path(__file__).with_suffix(".js")


def node(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job in a process of its own, so that layers are numbered from 1 in every case."""
    text = json.dumps(job, default=np.ndarray.tolist)
    answer = subprocess.run(
        ["node", PROGRAM], input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])  # a banner may stand before it


def record(
    case: str,
    seed: int,
    *,
    bidirectional: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    note: str = "",
    **lstm: Any,
) -> None:
    rng = numbers(seed)
    x = uneven(rng, B, T, I)
    job = {"lstm": {"units": H} | lstm, "bidirectional": bidirectional, "x": x}
    weights = {w["name"]: uneven(rng, *w["shape"]) for w in node(job)["weights"]}
    job["weights"] = list(weights.values())
    parts = 2 if bidirectional else 1
    state = {name: uneven(rng, parts, B, H) for name in "hc"}
    job["state"] = [state[name][k] for k in range(parts) for name in "hc"]
    answer = node(job)
    h, *finals = (np.array(output, np.float32) for output in answer["outputs"])
    final_h, final_c = np.stack(finals[0::2]), np.stack(finals[1::2])
    if parts == 1:
        final_h, final_c, state = (
            final_h[0],
            final_c[0],
            {k: v[0] for k, v in state.items()},
        )
    save(
        "tfjs",
        case,
        weights,
        x,
        {"h": h, "final_h": final_h, "final_c": final_c},
        convention="tfjs",
        version=f"@tensorflow/tfjs {answer['version']}",
        script="tfjs_cases.py",
        layout="batch",
        initial=state,
        settings=settings,
        note=note,
    )


if __name__ == "__main__":
    record(
        "plain",
        1,
        note="The default recurrent activation is the hard sigmoid, slope 0.2.",
    )
    record(
        "sigmoid",
        2,
        recurrentActivation="sigmoid",
        name="encoder",
        settings={"recurrent_activation": "sigmoid"},
    )
    record("relu", 3, activation="relu", settings={"activation": "relu"})
    record(
        "go_backwards",
        4,
        goBackwards=True,
        settings={"go_backwards": True},
        note="h is in the order of processing: its first step belongs to the last input.",
    )
    record("no_bias", 5, useBias=False)
    record(
        "bidirectional",
        6,
        bidirectional={"mergeMode": "concat"},
        note="States come as forward h, c, backward h, c; stacked here on a first axis.",
    )
