"""Settings as they are typed."""

from __future__ import annotations

import numpy as np
import pytest

import lstmcli
from lstmcli.core.model.shell import as_options
from lstmcli.errors import UserError
from tests.paths import TOP


def test_what_is_true_of_one_cell_is_typed_as_a_setting() -> None:
    """An option names all cells: there is no ``--layer1.interleaved``."""
    assert as_options({"layer1.interleaved": True}) == ["--set", "layer1.interleaved=true"]


def test_lengths_that_fit_the_other_layout_name_it() -> None:
    weights = TOP / "samples" / "forget-bias" / "weights.npz"
    with pytest.raises(UserError, match=r"taken as layout batch.*\n  Try layout='time'"):
        lstmcli.run(weights, np.zeros((7, 2, 4)), lengths=[7, 5])
