"""Edits of stored tensors, in the form in which each convention stores them."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.api.load import checked, load_model
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.edits import EDITS, TENSORS
from lstmcli.core.weights.compatibility import fit_or_refuse, needed_settings
from lstmcli.core.weights.encode import named_tensors
from lstmcli.formats import Document
from tests.core.weights.test_encode import ALWAYS, cell_for

STORED = [kind for kind in EDITS.values() if kind.stage == TENSORS]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_stored_tensors_are_edited_before_they_are_decoded(name: str) -> None:
    row = CONVENTIONS[name]
    layers = [(cell_for(row, (*ALWAYS.get(name, ()), "bias")),)]
    how = fit_or_refuse(layers, row, {})
    settings = {**needed_settings(how, row), "convention": name}
    document = Document("f.npz", "npz", named_tensors(layers, how), settings)
    plain = load_model([document], {"dtype": "float64"}).cell
    largest = max(float(np.abs(a).max()) for a in (plain.kernel, plain.recurrent_kernel))
    for kind in STORED:
        for value in kind.values:  # type: ignore[union-attr]
            edits = checked({"edits": [f"{kind.name}={value}"]}, "load")
            cell = load_model([document], {"dtype": "float64", **edits}).cell
            kernel, recurrent = plain.kernel, plain.recurrent_kernel
            if kind.name == "weights.decimals":
                kernel, recurrent = np.round(kernel, value), np.round(recurrent, value)
            half = 0.51 * largest / 127 if kind.name == "weights.int8" else 1e-12
            half = 10.0**-value if kind.name == "weights.truncated" else half
            np.testing.assert_allclose(cell.kernel, kernel, atol=half, rtol=0)
            np.testing.assert_allclose(cell.recurrent_kernel, recurrent, atol=half, rtol=0)
