"""Golden cases of coremltools 9.0: the MIL operation lstm, its weights converted from PyTorch.

Core ML itself runs on macOS only. So the weights are those that coremltools puts into the MIL
program, and the answer is that of the PyTorch layer from which they were converted, in MIL's axes.

Environment: pip install coremltools==9.0 torch==2.13.0 numpy
Run, from the top of the checkout: python tests/golden/record/coreml_cases.py
(Not named coremltools.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import coremltools
import numpy as np
import torch
from common import B, H, I, T, numbers, save, uneven
from torch import nn

TENSORS = (
    "weight_ih",
    "weight_hh",
    "bias",
    "weight_ih_back",
    "weight_hh_back",
    "bias_back",
)
NOTE = "expected values computed by PyTorch from the same layer (see the script), in MIL's axes"


class Model(nn.Module):
    """A layer whose initial state is given as two inputs, as the converter wants it."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, h: Any, c: Any) -> Any:
        return self.layer(x, (h, c))


def converted(
    model: nn.Module, example: tuple[torch.Tensor, ...]
) -> dict[str, np.ndarray]:
    """The weight tensors of the one lstm operation that the model becomes."""
    program = coremltools.convert(
        torch.jit.trace(model, example),
        inputs=[coremltools.TensorType(shape=tensor.shape) for tensor in example],
        convert_to="milinternal",
        compute_precision=coremltools.precision.FLOAT32,
    )
    (operation,) = program.functions["main"].find_ops(op_type="lstm")
    present = {name: operation.inputs.get(name) for name in TENSORS}
    return {
        name: variable.val for name, variable in present.items() if variable is not None
    }


def keep(case: str, seed: int, *, prefix: str = "", **options: Any) -> None:
    """Record one layer."""
    rng = numbers(seed)
    model = Model(nn.LSTM(I, H, **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(uneven(rng, *parameter.shape)))
    directions = 2 if model.layer.bidirectional else 1
    shapes = (T, B, I), (directions, B, H), (directions, B, H)
    x, h, c = (torch.from_numpy(uneven(rng, *shape)) for shape in shapes)
    with torch.no_grad():
        y, (final_h, final_c) = model(x, h, c)

    def side_by_side(state: torch.Tensor) -> np.ndarray:
        """(D, B, H) as MIL keeps it: (B, H), the directions beside each other in (B, 2H)."""
        return np.concatenate(list(state.numpy()), axis=-1)

    save(
        "coreml",
        case,
        {prefix + name: value for name, value in converted(model, (x, h, c)).items()},
        x,
        {"h": y, "final_h": side_by_side(final_h), "final_c": side_by_side(final_c)},
        convention="coreml",
        version=f"coremltools {coremltools.__version__}",
        script="coreml_cases.py",
        layout="time",
        initial={"h": side_by_side(h), "c": side_by_side(c)},
        note=NOTE,
    )


def main() -> None:
    """Record every case."""
    keep("forward", 1)
    keep("bidirectional", 2, bidirectional=True)
    keep("no_bias", 3, bias=False)
    keep("prefixed", 4, prefix="encoder/", bidirectional=True)


if __name__ == "__main__":
    main()
