"""Statements on a difference are true: directions, layouts, sequences, factors, cells, metadata."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli import diff
from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.operand import Side
from lstmcli.errors import UserError
from tests.core.explain import reference
from tests.networks import normal
from tests.recorded import held

Array = npt.NDArray[Any]

B, T, I, H = 3, 8, 4, 5


def outputs(**truth: Any) -> dict[str, Array]:
    """The arrays of a run (B, T, H) by plain NumPy."""
    net = reference.random_net(np.random.default_rng(1), I, H)
    return reference.outputs(net, normal(B, T, I), truth)


def texts(a: Side, b: Side) -> str:
    return " ".join(hint.text for hint in compare(a, b).hints)


def test_of_two_directions_the_first_step_excludes_nothing() -> None:
    """Step 0 of h agrees; it depends on all settings through the backward direction."""
    a, b = normal(2, T, B, H)
    a[0] = b[0]
    other = {"layer0_reverse.c": normal(T, B, H)}
    one = Side("a", {"h": a, **other}, "time")
    assert "Ruled out" in texts(
        Side("a", {"h": a}, "time"), Side("b", {"h": b}, "time")
    )
    assert "Ruled out" not in texts(one, Side("b", {"h": b}, "time"))


def test_a_layout_that_a_run_assumed_is_among_the_causes() -> None:
    assumed = {"assumed": ["layout batch (not stored in the weights; --layout time)"]}
    a, b = outputs()["h"], outputs(gates="fgio")["h"]
    one = Side("a{b}{step}.npz", {"h": a}, "batch", settings=assumed)
    said = texts(one, Side("b.npy", {"h": b}, "batch"))
    assert "the layout that was assumed for a{b}{step}.npz" in said
    given = Side(
        "a.npz", {"h": a}, "batch", settings={"assumed": ["forget bias +1 (...)"]}
    )
    assert "layout" not in texts(given, Side("b.npy", {"h": b}, "batch"))


def last_outputs(**truth: Any) -> Array:
    """The last h of as many sequences as there are steps, (6, H); sequence 0 has no mistake."""
    net = reference.random_net(np.random.default_rng(1), I, H)
    x = normal(6, 6, I)
    last = reference.outputs(net, x, truth)["h"][:, -1]
    last[0] = reference.outputs(net, x, {})["h"][0, -1]
    return last


def test_sequences_of_two_axes_are_not_steps_in_silence() -> None:
    a, b = last_outputs(forget_bias=0.0), last_outputs()
    assumed = "the first axis of h is time (not in the files; --layout batch)"
    silent = diff(a, b)
    assert silent.remarks == (assumed,)
    assert "Ruled out" not in silent.hints[0].text
    assert "use --layout batch" in silent.hints[0].text
    steps = diff(a, b, layout="time")
    assert steps.remarks == ()
    assert "Ruled out" in steps.hints[0].text
    sequences = diff(a, b, layout="batch")
    assert sequences.summary == "h differs: 25 of 30 values, first at batch 1, unit 0"
    assert sequences.remarks == ()
    assert sequences.hints == []
    assert diff(b, b).remarks == ()  # equal by either layout
    net = reference.random_net(np.random.default_rng(1), I, H)
    run = reference.outputs(net, normal(6, 6, I), {"forget_bias": 0.0})["h"]
    assert "Ruled out" not in texts(Side("a", {"h": run}), Side("b", {"h": b}))


@pytest.mark.parametrize(
    ("sides", "why"),
    [
        ((np.zeros(4), np.ones(4)), "no array has two axes"),
        (({"final_h": np.zeros((2, 4))}, {"final_h": np.ones((2, 4))}), "no array has two axes"),
        ((Side("run.npz", {"h": np.zeros((6, 4))}, "steps"), np.ones((6, 4))),
         r"run.npz has \(steps, units\)"),
        (({"kernel": np.zeros((2, 4))}, {"kernel": np.ones((2, 4))}),
         "weights have neither steps nor sequences"),
    ],
)  # fmt: skip
def test_a_layout_that_changes_nothing_is_refused(sides: Any, why: str) -> None:
    with pytest.raises(UserError, match=f"it changes nothing: {why}; leave it out"):
        diff(*sides, layout="batch")


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        (
            {1: 3},
            "Sequences 0 and 2 agree at every step; the other differs from step 3 on.",
        ),
        (
            {0: 2, 2: 5},
            "Sequence 1 agrees at every step; the others differ from steps 2 and 5 on.",
        ),
        (
            {0: 7},
            "Sequences 1 and 2 agree at every step; the other differs from step 7 on.",
        ),
        (
            {0: 0},
            "Sequences 1 and 2 agree at every step; the other differs from step 0 on.",
        ),
    ],
)
def test_sequences_that_agree_at_every_step_are_distinguished_from_those_that_do_not(
    starts: dict[int, int], said: str
) -> None:
    """As where one side pads, and the other one does not."""
    a = outputs()["h"]
    b = a.copy()
    for item, step in starts.items():
        b[item, step:] += normal(T - step, H, seed=item)
    sides = [Side(n, {"h": h}, "batch") for n, h in (("a", a), ("b", b))]
    (hint,) = compare(*sides).hints
    assert hint.code == "suspect_later_step"
    assert hint.text.startswith(f"{said} Padding?")
    silent = texts(*(Side(n, {"h": h}) for n, h in (("a", a), ("b", b))))
    assert (
        silent == ""
        or "If the first axis is the batch, any setting may be the cause" in silent
    )


PACKED = held("torch/packed_bidirectional")  # h (4, 7, 6)
VALID = np.arange(7) < PACKED["lengths"][:, None]  # (4, 7)


@pytest.mark.parametrize(
    "padding", [{"lengths": PACKED["lengths"].tolist()}, {"mask": VALID.tolist()}]
)
def test_padded_steps_of_a_run_are_compared_on_request_only(
    padding: dict[str, Any],
) -> None:
    h = PACKED["h"]
    other = np.where(VALID[..., None], h, normal(4, 7, 6))
    run_of = Side("a", {"h": h}, "batch", settings={"layout": "batch", **padding})
    found = compare(
        run_of, Side("b", {"h": other.swapaxes(0, 1)}, "time"), padding=False
    )
    assert found.equal
    assert found.arrays["h"].total == VALID.sum() * 6
    assert found.arrays["h"].max_ulp == 0
    found = compare(run_of, Side("b", {"h": other}, "batch"))
    h_found = found.arrays["h"]
    assert h_found.total is not None
    assert h_found.mismatched == h_found.total - VALID.sum() * 6 > 0
    full = Side("b", {"h": other}, "batch", settings={"layout": "batch"})
    found = compare(run_of, full, padding=False)  # which computed them
    assert found.arrays["h"].total == h.size
    assert found.settings is not None
    assert [*found.settings] == [*padding]


def test_one_step_of_each_padded_sequence_is_the_end_that_fits() -> None:
    h, last = PACKED["h"], PACKED["lengths"] - 1
    lengths = PACKED["lengths"].tolist()
    run_of = Side(
        "a", {"h": h}, "batch", settings={"layout": "batch", "lengths": lengths}
    )
    at_last, final = (
        h[np.arange(4), last],
        np.concatenate([*PACKED["final_h"]], axis=-1),
    )
    wrong = np.where(np.arange(4)[:, None] == 3, at_last + 1, at_last)
    states = "the last valid one forward, the first backward"
    ends = (final, states), (final[None], states), (PACKED["final_h"], states)
    for end, words in ((at_last, ""), (wrong, ""), *ends):
        one = Side("b", {"h": end})
        for sides in ((run_of, one), (one, run_of)):
            found = compare(*sides)
            assert found.equal == (end is not wrong)
            assert (words or "the last valid step of each sequence") in found.remarks[0]
    first = compare(run_of, Side("b", {"h": wrong})).first_divergence
    assert first is not None
    assert (first.step, first.batch, first.unit) == (None, 3, 0)


@pytest.mark.parametrize(
    "meta",
    [{"lengths": "given"}, {"lengths": [[1]]}, {"lengths": [7, "a"]}, {"lengths": [1, [2]]},
     {"mask": [True]}, {"mask": [[1], [2, 3]]}, {"mask": True}, {"lengths": [1]}, {"lengths": []},
     {"mask": [[[True]]]}],
)  # fmt: skip
def test_padding_of_another_shape_in_a_file_is_none(meta: dict[str, Any]) -> None:
    h = PACKED["h"]
    side = Side("a", {"h": h}, "batch", settings={"layout": "batch", **meta})
    found = compare(side, Side("b", {"h": h + 1}, "batch"), padding=False)
    assert found.arrays["h"].total == h.size


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("gates", ["o", "i", "f", "g", "io"])
def test_a_gate_without_its_activation_is_reported(gates: str, swapped: bool) -> None:
    wrong = outputs(spoil=lambda name, value, z, x: z[name] if name in gates else value)
    del wrong["z"]
    ours, theirs = Side("ours", outputs(), "batch"), Side("theirs", wrong, "batch")
    said = texts(*((theirs, ours) if swapped else (ours, theirs)))
    named, verb = ("i and o", "are") if gates == "io" else (gates, "is")
    assert f"{named} of theirs {verb} z of ours before its activation" in said
    squared = {**wrong, **{gate: ours.arrays[gate] ** 2 for gate in gates}}
    assert "before its activation" not in texts(ours, Side("theirs", squared, "batch"))


def test_axes_that_an_arrangement_tells_are_not_called_unknown() -> None:
    h, steps = normal(B, T, 2 * H), np.arange(T)
    other = np.where(steps[:, None] >= 2, h + normal(B, T, 2 * H, seed=1), h)
    stacked = other.reshape(B, T, 2, H).transpose(1, 2, 0, 3)
    said = texts(Side("a", {"h": h}), Side("b", {"h": stacked}))
    assert "step 2 is the first to differ" in said
    assert "If the first axis is the batch" not in said


@pytest.mark.parametrize("value", ["false", {"a": [1]}, 1])
def test_only_a_boolean_of_meta_turns_the_steps(value: Any) -> None:
    h = normal(B, T, H)
    other = h.copy()
    other[:, 1:] += 1
    difference = compare(
        Side("a", {"h": h}, "batch", settings={"reverse": value}),
        Side("b", {"h": other}, "batch", settings={"reverse": value}),
    )
    assert difference.first_divergence is not None
    assert difference.first_divergence.step == 1


def test_the_last_states_of_two_layers_are_not_a_batch() -> None:
    """(cells, B, H) of two layers against (B, H) of one."""
    one = Side("one", {"h": normal(T, 1, H), "final_h": normal(1, H)}, "time")
    cells = {f"layer{n}.h": normal(T, 1, H, seed=n) for n in (0, 1)}
    two = Side(
        "two", {**cells, "h": normal(T, 1, H), "final_h": normal(2, 1, H)}, "time"
    )
    d = compare(one, two, only=["final_h"])
    assert d.arrays["final_h"].mismatched is None
    assert not d.arrays["final_h"].pair.placed
    assert "several cells" in d.remarks[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=5,
)
KEYS = ["layout", "assumed", "selected", "merge", "reverse", "digits", "gates", "dtype",
        "forget_bias", "layer0.reverse", "flip_output", "convention"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
@settings(max_examples=30)
def test_any_metadata_end_in_a_result_or_a_message(
    tmp_path_factory: Any, meta: Any
) -> None:
    path = tmp_path_factory.mktemp("meta") / "a.json"
    h = normal(4, 2, 4)
    path.write_text(json.dumps({"h": h.tolist(), "meta": meta}))
    b = h.copy()
    b[1:, :, 2:] += 1
    try:
        found = diff(path, b)
    except UserError:
        return
    assert not found.equal
    json.dumps(found.to_json(), allow_nan=False)
