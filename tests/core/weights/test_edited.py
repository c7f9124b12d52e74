"""Edits of stored tensors, in the form in which each convention stores them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import checked, load_model
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.edits import EDITS
from lstmcli.core.weights.compatibility import fit_or_refuse, needed_settings
from lstmcli.core.weights.encode import named_tensors
from lstmcli.errors import UserError
from lstmcli.formats import Document
from tests.core.weights.test_encode import ALWAYS, cell_for

Rounding = Callable[[Array, int], Any]
ROUNDED: dict[str, Rounding] = {
    "weights.decimals": np.round,
    "weights.fixed": lambda a, bits: np.round(a * 2**bits) / 2**bits,
}
LEVELS = {"weights.int8": 127}  # up to the largest number
STORED = [kind for kind in EDITS.values() if kind.stage == "tensors"]


TWO_BIASES = (
    "cudnnlstm", "pytorch", "pytorch-cell", "tinygrad", "paddle", "candle", "cudnn-flat", "onnx",
    "mxnet", "nstep", "per-gate", "burn", "tts-cpp",
)  # fmt: skip
"""Conventions whose files store one of the inputs and one of h."""


@pytest.mark.parametrize("name", CONVENTIONS)
def test_stored_tensors_are_edited_before_they_are_decoded(name: str) -> None:
    row = CONVENTIONS[name]
    layers = [(cell_for(row, (*ALWAYS.get(name, ()), "bias")),)]
    how = fit_or_refuse(layers, row, {})
    settings = {**needed_settings(how, row), "convention": name}
    document = Document("f.npz", "npz", named_tensors(layers), settings)
    plain = load_model([document], {"dtype": "float64"}).cell
    largest = max(
        float(np.abs(a).max()) for a in (plain.kernel, plain.recurrent_kernel)
    )
    for kind in STORED:
        plain_name = kind.name.removesuffix(".summed")
        for value in kind.values or kind.read.named:  # type: ignore[union-attr]
            edits = checked({"edits": [f"{kind.name}={value}"]}, "load")
            if kind.of_summed and name not in TWO_BIASES:
                with pytest.raises(UserError, match="one stored bias"):
                    load_model([document], {"dtype": "float64", **edits})
                continue
            cell = load_model([document], {"dtype": "float64", **edits}).cell
            rounded: Rounding = ROUNDED.get(plain_name, lambda a, _: a)
            kernel, recurrent = (
                rounded(a, value) for a in (plain.kernel, plain.recurrent_kernel)
            )
            half = 0.51 * largest / LEVELS.get(plain_name, np.inf) + 1e-12
            np.testing.assert_allclose(cell.kernel, kernel, atol=half, rtol=0)
            np.testing.assert_allclose(
                cell.recurrent_kernel, recurrent, atol=half, rtol=0
            )
            if kind.of_summed:
                bias = rounded(plain.bias, value)
                np.testing.assert_allclose(cell.bias, bias, atol=half, rtol=0)
