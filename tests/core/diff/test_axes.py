"""Axes that differ by a known arrangement: aligned where exactly one fits, and said."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.operand import Side
from lstmcli.core.model.selection import Selection
from lstmcli.errors import UserError
from tests.networks import normal

Array = npt.NDArray[Any]

T, B, H = 7, 4, 5


def of(name: str, layout: str | None = None, **named: Array) -> Side:
    return Side(
        name, {key.replace("__", "."): value for key, value in named.items()}, layout
    )


def lone(
    a: Array, b: Array, layouts: tuple[str | None, str | None] = (None, None)
) -> Difference:
    return compare(
        Side("a.npy", {"": a}, layouts[0]), Side("b.npy", {"": b}, layouts[1])
    )


# ---- names


@pytest.mark.parametrize(
    ("of_a", "of_b", "name"),
    [
        ("out", "pred", "h"),
        ("", "pred", "h"),
        ("pred", "", "h"),
        ("pred", "c", "c"),
        ("layer0.c", "pred", "layer0.c"),
        ("c", "h", "h"),
        ("final_c", "final_h", "final_h"),
        ("final_h", "h", "h"),
        ("dense/kernel", "W", "W"),
    ],
)
def test_one_array_and_one_array_are_compared_whatever_their_names(
    of_a: str, of_b: str, name: str
) -> None:
    x = normal(T, H)
    d = compare(Side("a.npz", {of_a: x}), Side("b.npz", {of_b: x}))
    assert d.equal
    assert list(d.arrays) == [name]
    said = " ".join(d.remarks)
    for own, side in ((of_a, "a.npz"), (of_b, "b.npz")):
        assert (f"{own} of {side} is interpreted as {name}" in said) == (
            own not in ("", name)
        )
    assert not compare(Side("a.npz", {of_a: x}), Side("b.npz", {of_b: x + 1})).equal


@pytest.mark.parametrize("in_memory", [False, True])
def test_several_arrays_without_a_shared_name_are_refused_with_the_way_to_choose(
    in_memory: bool,
) -> None:
    one = Side("x.npz", {"h": normal(T, H), "c": normal(T, H)}, in_memory=in_memory)
    how = "" if in_memory else ", as FILE:NAME"
    with pytest.raises(
        UserError, match=rf"y\.npz has q\. Select one on each side{how}\.$"
    ):
        compare(one, Side("y.npz", {"q": normal(T, H)}))


# ---- column vectors


@pytest.mark.parametrize("lead", [(T,), (T, B)])
def test_a_column_vector_of_each_step_is_its_units(lead: tuple[int, ...]) -> None:
    x = normal(*lead, H)
    for sides in ((x[..., None], x), (x, x[..., None])):
        d = lone(*sides, ("time", "time") if len(lead) > 1 else (None, None))
        assert d.equal
        name = "a.npy" if sides[0].ndim > x.ndim else "b.npy"
        assert (
            f"h: {name}, {(*lead, H, 1)}, is interpreted as column vectors" in d.remarks
        )
    assert lone(x[..., None], x + 1).arrays["h"].mismatched == x.size
    assert compare(of("a", final_h=x[..., None]), of("b", final_h=x)).equal
    stacked = normal(T, 2, B, H)
    assert lone(stacked[..., None], stacked.swapaxes(1, 2), ("time", "time")).equal


# ---- directions


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_axes_that_may_be_the_directions_the_nearer_is_taken(
    swapped: bool,
) -> None:
    """(2, T, 2, H) against (2, T, 2 H)."""
    each = normal(2, T, 2, H)
    h = np.concatenate([*each], axis=-1).swapaxes(0, 1)
    other = h + 1e-4 * normal(*h.shape, seed=1)
    d = lone(*((other, each) if swapped else (each, other)))
    assert d.arrays["h"].max_abs == pytest.approx(np.abs(other - h).max())


def test_two_axes_that_are_equally_near_are_both_named_with_what_to_type() -> None:
    each = normal(2, T, 2, H)
    for other in (
        normal(2, T, 2 * H, seed=1),
        np.zeros((2, T, 2 * H)),
        np.full((2, T, 2 * H), np.inf),
    ):
        for sides in ((each, other), (other, each)):
            d = lone(*sides)
            assert d.arrays["h"].mismatched is None
            (said,) = d.remarks
            assert "directions on axis 0" in said
            assert "directions on axis 2" in said


@pytest.mark.parametrize("factor", [2.0, 2 + 1e-9, 2 - 1e-9])
def test_what_is_as_far_from_a_part_as_zeros_are_is_not_near_it(factor: float) -> None:
    h = normal(T, B, H)
    d = lone(factor * h[:, 1], h)  # 0 dB, but for the last bits
    assert d.arrays["h"].mismatched is None
    assert "the numbers do not show which" in " ".join(d.remarks)


def test_a_part_is_aligned_where_it_is_clearly_nearest() -> None:
    h = normal(B, T, 2 * H)
    ends = np.concatenate([h[:, -1, :H], h[:, 0, H:]], axis=-1)
    for part, said in (
        (h[2], "sequence 2 of 4"),
        (h[:, -1], "the last step"),
        (ends, "the last valid one forward, the first backward"),
        (h[..., H:], "the backward direction"),
    ):
        d = lone(part + 1e-4, h, (None, "batch"))
        assert said in " ".join(d.remarks)
        assert d.arrays["h"].max_abs == pytest.approx(1e-4)
    d = lone(
        h[2] + 1e-4, h
    )  # what is a step by the usual layout is said to be a sequence
    assert d.remarks[0].endswith(
        "sequence 2 of 4; b.npy, (4, 7, 10), is interpreted as (batch, steps, units)"
    )


@pytest.mark.parametrize("layouts", [(None, None), ("batch", "batch"), ("batch", None)])
@pytest.mark.parametrize(("steps", "items"), [(T, B), (T, 2), (2, B)])
@pytest.mark.parametrize("order", [*permutations("tbd")])
def test_stacked_directions_are_found_in_front_of_sequences_or_after(
    order: tuple[str, ...],
    steps: int,
    items: int,
    layouts: tuple[str | None, str | None],
) -> None:
    """(B, T, 2 H) of PyTorch or Keras and ONNX' (T, 2, B, H), or any other order of its axes."""
    each = normal(steps, items, 2, H).astype(np.float32)
    h = each.reshape(steps, items, 2 * H).swapaxes(0, 1)
    wrong = each.copy()
    wrong[1, 2 - (items == 2), 1, 3] += 1

    def stacked(array: Array) -> Array:
        return np.transpose(array, [*("tbd".index(axis) for axis in order), 3])

    for n in (0, 1):

        def beside(array: Array, n: int = n) -> Difference:
            sides = h, stacked(array)
            return lone(sides[n], sides[1 - n], (layouts[n], layouts[1 - n]))

        assert beside(each).equal
        d = beside(wrong)
        (array,) = d.arrays.values()
        assert array.mismatched == 1
        first = d.first_divergence
        assert first is not None
        place = first.step, first.batch
        assert place in [(1, 2 - (items == 2)), (2 - (items == 2), 1)]
        layout, exchanged = layouts[0], order.index("t") < order.index("b")
        if layout == "batch" or exchanged:
            assert place[0] == 1
            side = "ab"[n != 0 if layout is None else n == 0]
            said = f"interpreted as ({'batch, steps' if layout is None else 'steps, batch'}, units)"
            texts = [
                text
                for remark in d.remarks
                for text in remark.split("; ")
                if said in text
            ]
            assert [text.removeprefix("h: ")[0] for text in texts] == [side] * exchanged
            assert not any("is time" in remark for remark in d.remarks)


def test_stacked_directions_may_be_on_either_side() -> None:
    stacked = normal(2, 1, 2, H)
    joined = stacked[:, 0].swapaxes(0, 1)
    assert lone(stacked, joined).equal
    assert lone(joined, stacked).equal


@pytest.mark.parametrize("items", [2, B])
def test_final_states_of_two_directions(items: int) -> None:
    """(2, B, H) as in PyTorch, (B, 2, H) as in ONNX with layout 1, and (B, 2 H)."""
    stacked = normal(2, items, H)
    kinds = [stacked, stacked.swapaxes(0, 1), np.concatenate([*stacked], axis=-1)]
    for a, b in permutations(kinds, 2):
        if a.shape != b.shape:
            d = compare(of("a.npz", final_h=a), of("b.npz", final_h=b))
            assert d.equal
            assert "directions on axis" in d.remarks[0]
            for other, nearer in ((b + 1e-3, True), (normal(*b.shape, seed=1), False)):
                d = compare(of("a.npz", final_h=a), of("b.npz", final_h=other))
                (array,) = d.arrays.values()
                assert array.mismatched == a.size
                if not nearer and items == 2:  # either axis may be it: the first
                    assert d.remarks[0].endswith("directions on axis 0")


# ---- parts


def test_a_last_step_against_a_sequence() -> None:
    h = normal(T, B, H)
    for a, b, layouts in (
        (h[-1], h, (None, "time")),
        (h[-1], h.swapaxes(0, 1), (None, "batch")),
        (h[-1:], h, (None, "time")),
        (h[-1, 0], h[:, 0], (None, None)),
        (h[-1], h, (None, None)),
        (h[-1], h.swapaxes(0, 1), (None, None)),
    ):
        d = lone(a, b, layouts)
        assert d.equal
        assert f"h: a.npy, {a.shape}, is interpreted as the last step" in " ".join(
            d.remarks
        )
        turned = lone(b, a, (layouts[1], layouts[0]))
        assert turned.equal
        assert f"b.npy, {a.shape}, is interpreted as the last step" in " ".join(
            turned.remarks
        )


def test_one_sequence_against_a_batch() -> None:
    h = normal(B, T, H)
    for layouts in ((None, "batch"), ("steps", "batch")):
        d = lone(h[2], h, layouts)
        assert d.equal
        assert f"h: a.npy, (7, 5), is interpreted as sequence 2 of {B}" in d.remarks
    d = lone(
        h.swapaxes(0, 1)[:, 2], h.swapaxes(0, 1)
    )  # the first axis of printed output is time
    assert d.equal
    assert f"h: a.npy, (7, 5), is interpreted as sequence 2 of {B}" in d.remarks
    late = h[2].copy()
    late[3:] += 0.1
    d = lone(h, late, ("batch", None))
    assert d.first_divergence is not None
    assert (d.first_divergence.step, d.first_divergence.batch) == (3, 2)


@pytest.mark.parametrize("wrong", [0.3, np.nan])
def test_a_sequence_of_which_only_the_first_steps_agree(wrong: float) -> None:
    h = normal(T, T, 2)
    late = h[:, 3].copy()
    late[2:] += wrong * normal(T - 2, 2, seed=1)
    for full in (h, h.swapaxes(0, 1)):
        first = lone(late, full).first_divergence
        assert first is not None
        assert (first.step, first.batch) == (2, 3)


def test_nan_hides_no_axes() -> None:
    h = normal(T, B, H)
    wrong = h + 0.01
    wrong[4:] = np.nan
    assert "sequence 2 of 4" in " ".join(lone(h[:, 2], wrong, (None, "time")).remarks)


@pytest.mark.parametrize("lead", [(T, 1), (1, T), (T,)])
def test_numbers_of_a_single_unit_are_steps(lead: tuple[int, ...]) -> None:
    h = normal(*lead, 1)
    wrong = h.ravel() + np.arange(1, T + 1)
    for sides in ((wrong, h), (h, wrong)):
        at = lone(*sides).arrays["h"].abs_at
        assert at is not None
        assert (at.step, at.unit) == (T - 1, 0)


def test_an_axis_of_length_1_hides_nothing_that_fits() -> None:
    h = normal(B, T, H)
    for a, b, layouts, said in (
        (h[2][:, None], h, ("batch", "batch"), "sequence 2 of 4"),
        (h[:1].ravel(), h[:1], (None, "batch"), "numbers in a row"),
        (h[1:2], h[1], ("time", None), ""),
        (h[-1:], h, (None, None), "the last step"),
        (h[-1:] + 1e-4, h, (None, None), "the last step"),
    ):
        for d in (lone(a, b, layouts), lone(b, a, layouts[::-1])):
            assert d.arrays["h"].mismatched == (0 if np.isin(a, h).all() else a.size)
            assert said in " ".join(d.remarks)
    layers = normal(3, B, 2, H)  # last states of three, by direction
    d = compare(of("a", final_h=layers), of("b", final_h=layers.reshape(3, B, 2 * H)))
    assert d.equal


def test_several_alignments_that_fit_are_not_guessed() -> None:
    h = normal(B, T, H)
    other = normal(T, H, seed=1)
    d = lone(other, h, (None, "batch"))
    assert d.to_json()["arrays"]["h"]["shape"] == [[7, 5], [4, 7, 5]]
    (said,) = d.remarks
    assert (
        "may be sequence 0 of 4, or a.npy, (7, 5), may be sequence 1 of 4, or others"
        in said
    )
    assert "Select it by --layout, --batch or --steps" in said
    chosen = compare(
        Side("a.npy", {"": other}),
        Side("b.npy", {"": h}, "batch"),
        selection=Selection.parse(None, "1", None),
    )
    assert chosen.arrays["h"].total == T * H
    assert chosen.first_divergence is not None
    assert chosen.first_divergence.batch == 1
    last = lone(
        normal(B, H, seed=1), h
    )  # the last step of a batch, or a sequence of 4 steps
    assert last.arrays["h"].mismatched is None


def test_shapes_of_no_known_arrangement_stay_different() -> None:
    for a, b in (
        ((7, 3), (7, 4)),
        ((5, 3), (7, 3)),
        ((7, 6, 3), (7, 5, 3)),
        ((7, 3, 5), (7, 5)[::-1]),
        ((3, 7, 2, 5), (7, 10)),
    ):
        assert lone(normal(*a), normal(*b, seed=1)).arrays["h"].mismatched is None


# ---- what is selected


def test_only_some_arrays() -> None:
    h, c = normal(2, T, H)
    one = of("a", h=h, layer0__h=c, layer1__h=h, c=c)
    other = of("b", h=h, layer0__h=c, layer1__h=h + 1, c=c + 1)
    assert compare(one, other, only=["layer0.h"]).equal
    assert list(compare(one, other, only=["h"]).arrays) == ["h", "layer0.h", "layer1.h"]
    assert list(compare(one, other, only=["layer1.h", "c"]).arrays) == ["layer1.h", "c"]
    with pytest.raises(
        UserError, match=r"only='layer2\.h': both sides contain h, layer0\.h"
    ):
        compare(one, other, only=["layer2.h"])


def test_selected_steps_batch_items_and_units() -> None:
    a = normal(T, B, H)
    b = a.copy()
    b[3, 1, 2] += 1
    sides = of("a", "time", h=a, final_h=a[-1]), of("b", "time", h=b, final_h=b[-1])
    for choice, equal in (
        (("0:3", None, None), True),
        (("2:5", None, None), False),
        ((None, "0,2", None), True),
        ((None, "1", None), False),
        ((None, None, "0:2"), True),
        ((None, None, "2"), False),
        (("-4", "1", "-3"), False),
    ):
        d = compare(*sides, selection=Selection.parse(*choice))
        assert d.equal == equal
        if d.first_divergence is not None:
            first = d.first_divergence
            assert (first.step, first.batch, first.unit) == (3, 1, 2)
    totals = compare(*sides, selection=Selection.parse("2:5", "0,2", "1:")).arrays
    assert (totals["h"].total, totals["final_h"].total) == (3 * 2 * 4, 2 * 4)


def test_last_states_of_several_cells_are_compared_in_full_and_reported() -> None:
    named = {"h": normal(T, B, H), "final_h": normal(2, B, H)}
    d = compare(
        of("a", "time", **named),
        of("b", "time", **named),
        selection=Selection.parse(None, "1", None),
    )
    assert d.arrays["h"].total == T * H
    assert d.arrays["final_h"].total == 2 * B * H
    assert d.remarks == (
        "final_h: in full, as no file tells which axes are those of cells and batch items",
    )


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("part", "choice", "taken"),
    [
        (np.s_[2:5], ("2:5", None, None), " is interpreted as steps 2:5 of full"),
        (np.s_[3:5], ("-4:-2", None, None), " is interpreted as steps -4:-2 of full"),
        (np.s_[:, [1, 3]], (None, "1,3", None), " is interpreted as batch 1,3 of full"),
        (np.s_[..., [0, 2]], (None, None, "0,2"), " is interpreted as units 0,2 of full"),
        (np.s_[3, 1], ("3", "1", None),
         " is interpreted as steps 3 of full; part is interpreted as batch 1 of full"),
        (np.s_[3, 1], ("3", None, None), ", (5,), is interpreted as step 3 of 7, sequence 1 of 4"),
        (np.s_[3], ("3", None, None), ", (4, 5), is interpreted as step 3 of 7"),
        (np.s_[3], ("-4", None, None), ", (4, 5), is interpreted as step 3 of 7"),
    ],
)  # fmt: skip
def test_a_part_without_numbers_is_what_is_selected_of_the_run(
    part: Any,
    choice: tuple[str | None, str | None, str | None],
    taken: str,
    swapped: bool,
) -> None:
    h = normal(T, B, H)
    sides = of("part", h=h[part]), of("full", "time", h=h)
    d = compare(
        *(sides[::-1] if swapped else sides), selection=Selection.parse(*choice)
    )
    assert d.equal
    layout = "h of part is (steps, batch, units), as in full"
    assert [one for one in d.remarks if one != layout] == [f"h: part{taken}"]


def test_units_of_the_pre_activations_are_those_of_each_gate() -> None:
    z, h = normal(T, B, 4 * H), normal(T, B, H)
    other = z.copy()
    other[..., [1, H + 1, 3 * H + 1]] += 1
    sides = of("a", "time", z=z, h=h), of("b", "time", z=other, h=h)
    d = compare(*sides, selection=Selection.parse(None, None, "1"))
    assert (d.arrays["z"].total, d.arrays["z"].mismatched) == (4 * T * B, 3 * T * B)
    assert compare(*sides, selection=Selection.parse(None, None, "0,2")).equal
    last = z.copy()
    last[..., 2 * H - 1] += 1  # the last unit of f
    d = compare(
        sides[0], of("b", "time", z=last), selection=Selection.parse(None, None, "-1")
    )
    assert (d.arrays["z"].total, d.arrays["z"].mismatched) == (4 * T * B, T * B)


def test_a_selection_of_nothing_is_refused() -> None:
    h = normal(T, H)
    for choice in (("9", None, None), (None, "3", None), (None, None, "5")):
        with pytest.raises(UserError, match=r"no .* in this range|there is (no|only)"):
            compare(of("a", h=h), of("b", h=h), selection=Selection.parse(*choice))
    run = of("a", h=normal(B, T, H))  # which axis has the steps no file says
    with pytest.raises(UserError, match=r"steps are 0 to 3[^$]*assumed to be time"):
        compare(run, run, selection=Selection.parse("6", None, None))
    for name, text in (
        ("kernel", "not a result of a run"),
        ("final_h", "last state, without"),
    ):
        side = of("a", None, **{name: h})
        with pytest.raises(UserError, match=f"{name} is (the )?{text}"):
            compare(side, side, selection=Selection.parse("0", None, None))


# ---- cosine and signal-to-noise ratio


def test_cosine_and_snr_by_their_definitions() -> None:
    a, b = normal(2, T, H)
    d = lone(a, b).arrays["h"]
    x, y = a.ravel().tolist(), b.ravel().tolist()
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    size_x, size_y = sum(p * p for p in x), sum(q * q for q in y)
    noise = sum((p - q) ** 2 for p, q in zip(x, y, strict=True))
    assert d.cosine == pytest.approx(dot / (size_x * size_y) ** 0.5)
    assert d.snr == pytest.approx(10 * np.log10(size_y / noise))
    found = lone(a, b).to_json()["arrays"]["h"]
    assert (found["cosine"], found["snr_db"]) == (d.cosine, d.snr)


def test_cosine_and_snr_at_the_ends() -> None:
    h = normal(T, H)
    same = lone(h, h).to_json()["arrays"]["h"]
    assert same["cosine"] == pytest.approx(1)
    assert same["snr_db"] == "Infinity"
    opposite = lone(-h, h).arrays["h"]
    assert opposite.cosine == pytest.approx(-1)
    assert opposite.snr == pytest.approx(-20 * np.log10(2))
    zero = lone(h, 0 * h).arrays["h"]
    assert (zero.cosine, zero.snr) == (None, None)
    great = lone(h * 1e300, h * 1.1e300).arrays["h"]
    assert great.snr == pytest.approx(20 * np.log10(11))
    nan = h.copy()
    nan[0] = np.nan
    assert lone(nan, h).to_json()["arrays"]["h"]["snr_db"] == "NaN"
    assert lone(h[:, :3], h).to_json()["arrays"]["h"]["cosine"] is None


SHAPES = st.lists(st.integers(0, 4), max_size=5).map(tuple)
LAYOUTS = st.sampled_from([None, "steps", "time", "batch"])
ARRAYS = st.sampled_from(["", "h", "out", "c", "final_h", "layer0.h", "z", "kernel"])
CHOICES = st.sampled_from([None, None, "0", "-1", "0:2", ":", "1,2"])


@given(st.tuples(SHAPES, SHAPES), st.tuples(LAYOUTS, LAYOUTS), st.tuples(ARRAYS, ARRAYS),
       st.tuples(CHOICES, CHOICES, CHOICES))  # fmt: skip
@example(
    ((1, 2, 1, 1), (2, 2)), (None, None), ("", ""), (None, None, "0")
)  # one unit of two
@settings(max_examples=150)
def test_any_shapes_are_compared_or_refused(
    shapes: tuple[Any, Any],
    layouts: tuple[Any, Any],
    names: tuple[str, str],
    choice: Any,
) -> None:
    sides = [
        Side(side, {name: normal(*shape)}, layout)
        for side, name, shape, layout in zip("ab", names, shapes, layouts, strict=True)
    ]
    try:
        d = compare(sides[0], sides[1], selection=Selection.parse(*choice))
    except UserError:
        return
    json.dumps(d.to_json(), allow_nan=False)
    for array in d.arrays.values():
        assert (array.mismatched is None) == (array.pair.a.shape != array.pair.b.shape)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("layout", "axes"), [("batch", "steps, batch"), ("time", "batch, steps")]
)
def test_a_silent_side_has_as_many_steps_as_the_other_one(
    layout: str, axes: str, swapped: bool
) -> None:
    h = normal(9, 3, H)
    sides = of("a", layout, h=h), of("b", h=h.swapaxes(0, 1))
    found = compare(*(sides[::-1] if swapped else sides))
    assert found.equal
    assert f"is interpreted as ({axes}, units)" in str(
        found.to_json()["arrays"]["h"]["aligned"]
    )
    assert compare(of("a", layout, h=h[:3]), of("b", h=h[:3])).equal


@pytest.mark.parametrize("swapped", [False, True])
def test_one_direction_against_both(swapped: bool) -> None:
    both = normal(T, B, 2 * H)
    for start in (0, H):
        sides = both[..., start : start + H], both
        d = lone(*(sides[::-1] if swapped else sides))
        assert (d.equal, d.arrays["h"].mismatched, d.first_divergence) == (
            False,
            0,
            None,
        )
        part, which = (
            "b.npy" if swapped else "a.npy",
            "backward" if start else "forward",
        )
        said = f"h: {part}, {sides[0].shape}, is interpreted as the {which} direction"
        assert d.remarks[0] == said
        assert d.hints == []
        chosen = Selection.parse(None, None, f"{start}:{start + H}")
        assert compare(
            Side("a", {"": sides[0]}), Side("b", {"": both}), selection=chosen
        ).equal
    assert lone(normal(T, B, H, seed=1), both).arrays["h"].mismatched is None
    sides = both[..., H:], both.reshape(T, B, 2, H).swapaxes(1, 2)
    d = lone(*(sides[::-1] if swapped else sides))
    assert (d.equal, d.arrays["h"].mismatched) == (False, 0)
    assert "the backward direction" in d.remarks[0]


@pytest.mark.parametrize("lengths", [None, [7, 3, 5, 1]])
def test_the_ends_of_each_direction_are_one_step(lengths: list[int] | None) -> None:
    """Keras' Bidirectional without return_sequences: the last step forward, the first backward."""
    h = normal(T, B, 2 * H)
    last = np.array(lengths or [T] * B) - 1
    ends = np.concatenate([h[last, np.arange(B), :H], h[0, :, H:]], axis=1)
    settings = None if lengths is None else {"lengths": lengths, "layout": "time"}
    run = Side("a.npz", {"h": h}, "time", settings=settings)
    d = compare(run, Side("b.npy", {"": ends}))
    assert d.equal
    assert "the last step of each direction" in d.remarks[0]
    # each direction's own last step is another
    other = np.concatenate([ends[:, H:], ends[:, :H]], axis=1)
    assert not compare(run, Side("b.npy", {"": other})).equal


def test_a_cell_is_no_direction_of_several_cells() -> None:
    """(2, B, H) may be two layers: its second row is not called the backward direction."""
    states = normal(2, B, H)
    cells = {"layer0.h": normal(T, B, H), "layer1.h": normal(T, B, H, seed=1)}
    both = Side("a.npz", {"final_h": states, **cells}, "time")
    d = compare(both, of("b.npz", final_h=states[1]), only=["final_h"])
    assert not d.equal
    assert not any("direction" in remark for remark in d.remarks)
    alone = compare(of("a.npz", final_h=states), of("b.npz", final_h=states[1]))
    assert "the backward direction" in alone.remarks[0]


@pytest.mark.parametrize("swapped", [False, True])
def test_numbers_in_a_row(swapped: bool) -> None:
    h, c = normal(T, B, H), normal(T, H)
    for a, b in ((h.ravel(), h), (h.reshape(-1, H), h), (c.ravel(), c)):
        d = lone(*((b, a) if swapped else (a, b)))
        assert d.equal
        assert "is interpreted as numbers in a row" in d.remarks[0]
        off = b.copy()
        off[3, ..., 2] += 1
        d = lone(*((off, a) if swapped else (a, off)))
        assert d.first_divergence is not None
        assert (d.first_divergence.step, d.first_divergence.unit) == (3, 2)


def test_the_axes_of_a_position_are_reported_with_it() -> None:
    """(B, T, H) of two silent sides: what is called the step is the sequence."""
    a = normal(B, T, H)
    b = a.copy()
    b[:, 2:] += 0.1
    assert repr(
        lone(a, b)
    ).endswith(
        "first at step 0, batch 2, unit 0; the first axis of h is time>"  # without an option
    )
    assert repr(lone(a, b, ("batch", None))).endswith(
        "first at step 2, batch 0, unit 0; h of b.npy is (batch, steps, units), as in a.npy>"
    )
    assert repr(lone(a, b, ("batch", "batch"))).endswith(
        "first at step 2, batch 0, unit 0>"
    )
