"""Saturated gates and quiet units, counted from steps as they come."""

from __future__ import annotations

import numpy as np

from lstmcli.core.forward.saturation import SaturatedGate, Saturation, is_saturated


def arrays() -> dict[str, np.ndarray]:
    """Ten steps of two sequences of three units, gates at 0.5 but for what is set here."""
    rng = np.random.default_rng(0)
    made = {name: rng.uniform(0.1, 0.9, (10, 2, 3)) for name in ("i", "f", "o")}
    made["h"] = rng.uniform(0.1, 0.9, (10, 2, 3))
    made["f"][:, :, 1] = 0.999
    made["i"][:7, :, 2] = 1e-4
    made["o"][:4, :, 0] = 1e-4  # less than half of the steps
    made["h"][:9, :, 2] = -1e-5
    return made


def test_what_is_at_one_end_in_most_steps_is_named_with_its_share() -> None:
    counts = Saturation()
    counts.add(arrays())
    assert counts.saturated_gates() == [
        SaturatedGate("f", 1, 1, 1.0),
        SaturatedGate("i", 2, 0, 0.7),
    ]
    assert counts.dead_units() == [(2, 0.9)]
    assert counts.anything
    shares = counts.shares()
    assert shares["f"] == (0.0, 20 / 60)
    assert shares["i"] == (14 / 60, 0.0)
    assert shares["o"] == (8 / 60, 0.0)


def test_pieces_count_as_all_steps_at_once() -> None:
    whole, pieces = Saturation(), Saturation()
    whole.add(arrays())
    for steps, rows in ((slice(0, 3), slice(0, 2)), (slice(3, 10), slice(0, 1)),
                        (slice(3, 10), slice(1, 2))):  # fmt: skip
        pieces.add({k: a[steps, rows] for k, a in arrays().items()})
    assert pieces.saturated_gates() == whole.saturated_gates()
    assert pieces.dead_units() == whole.dead_units()
    assert pieces.shares() == whole.shares()


def test_steps_past_the_length_of_a_sequence_do_not_count() -> None:
    padded = arrays()
    for array in padded.values():
        array[4:, 1] = 0  # the second row has four steps
    counts, expected = Saturation(), Saturation()
    counts.add(padded)
    expected.add({k: a[:, :1] for k, a in arrays().items()})
    expected.add({k: a[:4, 1:] for k, a in arrays().items()})
    assert counts.saturated_gates() == expected.saturated_gates()
    assert counts.dead_units() == expected.dead_units()
    nothing = Saturation()
    nothing.add({k: np.zeros((3, 2, 1)) for k in ("i", "f", "o", "h")})
    assert not nothing.anything


def test_a_unit_may_be_near_both_ends_and_nan_is_near_none() -> None:
    counts = Saturation()
    gate = np.full((4, 1, 1), 0.0)
    gate[2:] = 1.0
    counts.add({"f": gate, "i": np.full((4, 1, 1), np.nan), "h": np.full((4, 1, 1), np.nan)})
    assert counts.saturated_gates() == [
        SaturatedGate("f", 0, 0, 0.5),
        SaturatedGate("f", 0, 1, 0.5),
    ]
    assert counts.dead_units() == []


def test_nothing_seen_is_nothing_to_name() -> None:
    counts = Saturation()
    counts.add({"z_i": np.zeros((3, 1, 2))})
    assert not counts.anything
    assert counts.shares() == {}


def test_a_gate_is_saturated_within_a_hundredth_of_0_and_of_1() -> None:
    gates = np.array([0, 0.0099, 0.0101, 0.5, 0.9899, 0.9901, 1])
    assert is_saturated(gates).tolist() == [True, True, False, False, False, True, True]
    assert not is_saturated(np.array([np.nan])).any()
