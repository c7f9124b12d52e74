"""Networks of several cells, from arrays in Python: what is said of them, and that nothing ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstmcli

I, H, T = 2, 4, 5
Array = np.ndarray[Any, Any]


def weights(
    rng: np.random.Generator, suffix: str, inputs: int, outputs: int = H
) -> dict[str, Array]:
    """A cell as PyTorch stores it, with a projection if it has fewer outputs than units."""
    net = {
        f"weight_ih_{suffix}": rng.normal(size=(4 * H, inputs)),
        f"weight_hh_{suffix}": rng.normal(size=(4 * H, outputs)),
        f"bias_ih_{suffix}": rng.normal(size=4 * H),
        f"bias_hh_{suffix}": rng.normal(size=4 * H),
    }
    if outputs != H:
        net[f"weight_hr_{suffix}"] = rng.normal(size=(outputs, H))
    return net


@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_one_half_of_units_is_a_direction_only_where_directions_are_joined(merge: str) -> None:
    rng = np.random.default_rng(0)
    net = weights(rng, "l0", I) | weights(rng, "l0_reverse", I)
    trace = lstmcli.run(lstmcli.load(net, merge=merge), rng.normal(size=(2, T, I)))
    h = np.array(trace.h)
    upper = h[..., h.shape[-1] // 2 :]
    upper += rng.normal(size=upper.shape)
    codes = [hint.code for hint in lstmcli.diff(trace, h).hints]
    assert ("one_half" in codes) == (merge == "concat")


@pytest.mark.slow
def test_projected_cells_have_no_h_and_c_to_exchange() -> None:
    rng = np.random.default_rng(0)
    net = weights(rng, "l0", I, 1) | weights(rng, "l1", 1, 1)
    x = rng.normal(size=(1, T, I))
    state = {"h": rng.normal(size=(2, 1, 1)), "c": rng.normal(size=(2, 1, H))}
    h = np.array(lstmcli.run(lstmcli.load(net), x, initial_state=state, layout="batch").h)
    noisy = h + 0.1 * rng.normal(size=h.shape)
    found = lstmcli.explain(net, x, noisy, initial_state=state, layout="batch")
    assert not found.found


@pytest.mark.slow
def test_numbers_behind_the_end_of_a_sequence_explain_nothing() -> None:
    """As the last steps of the run they are all padding: nothing is compared then, nor warned."""
    rng = np.random.default_rng(0)
    net = weights(rng, "l0", I) | weights(rng, "l1", H)
    expected = rng.normal(size=(1, T - 1, H))
    x = rng.normal(size=(1, T, I))
    assert not lstmcli.explain(net, x, expected, lengths=[1], layout="batch").found
