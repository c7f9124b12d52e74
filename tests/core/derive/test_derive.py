"""A derivation's numbers are the loop's, its formulas the cell's: on every recorded case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli import run
from lstmcli.api.derive import derive
from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.formulas import Sum, Term, exactly, rounded, ulps_between
from lstmcli.core.diff.operand import Side
from lstmcli.core.forward.plan import NAMES
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.part import Part, format_indices
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError
from tests.networks import model_of, random_net
from tests.recorded import CASES, recorded

Array = np.ndarray[Any, Any]


def case_of(case: str) -> tuple[Model, dict[str, Any], dict[str, Array]]:
    """A recorded case: its model, what else `run` takes, and the arrays."""
    one = recorded(case)
    model = one.load(Path())
    return model, one.given(model), one.arrays


def check(found: Derivation, trace: Trace, units: int) -> None:
    """Every kept number is the trace's, bit for bit; every formula gives it but for rounding."""
    at = found.place
    for line in found.lines:
        if line.in_trace:
            base, unit = line.name, at.unit
            if base[0] == "z":
                base, unit = "z", GATES.index(base[-1]) * units + unit
            of_trace = trace.time_major(f"{at.prefix}{base}")[at.step, at.batch, unit]
            assert line.value.dtype == of_trace.dtype
            assert line.value == of_trace, line.name
            assert np.signbit(line.value) == np.signbit(of_trace), line.name
        eps = float(np.finfo(line.value.dtype).eps)
        largest = max(1.0, *(abs(float(n)) for n in line.numbers.values()))
        name = line.name.removeprefix("z_")
        if line.name.startswith("z_") or name == "h":
            terms = found.sums[name].terms if name in found.sums else ()
            largest = max([largest, *(abs(float(t.product)) for t in terms)])
            if "deviation" in line.numbers:
                largest *= 1 + abs(
                    float(line.numbers["scale"] / line.numbers["deviation"])
                )
        if "deviation" in line.numbers:
            largest *= 4
        assert abs(float(line.value) - float(line.rounded_once)) <= 8 * eps * largest, (
            line
        )


@pytest.mark.parametrize("case", CASES)
def test_every_recorded_case(case: str) -> None:
    """Every convention and every part of a cell, at random places of each of its cells."""
    model, given, _ = case_of(case)
    trace = run(model, keep=NAMES, **given)
    rng = np.random.default_rng(len(case))
    for name, cell in model.cells:
        steps, rows = trace.time_major(next(iter(trace.arrays)))[..., 0].shape[:2]
        done = 0
        while done < 2:
            step, batch, unit = (
                int(rng.integers(n)) for n in (steps, rows, cell.units)
            )
            with suppress_left_out():
                check(derive(model, step=step, unit=unit, batch=batch, cell=name, **given), trace,
                      cell.units)  # fmt: skip
                done += 1


@contextmanager
def suppress_left_out() -> Iterator[None]:
    """Lengths and masks leave steps out; nothing else may be refused."""
    try:
        yield
    except UserError as error:
        if "left out by" not in str(error):
            raise


SETTINGS: list[dict[str, Any]] = [
    {},
    {"forget_bias": -0.75},
    {"reverse": True},
    {"go_backwards": True},
    {"flip_output": True},
    {"reverse": True, "flip_output": True},
    {"state": "reset"},
    {"coupled": "f=1-i"},
    {"coupled": "i=1-f"},
    {"cell_clip": 0.3, "gate_clip": 0.7, "projection_clip": 0.05},
    {"activation": "softsign", "recurrent_activation": "hard_sigmoid_0.2"},
    {"activation": "identity", "output_activation": "identity"},
    {"activation": "leaky_relu(0.3)", "recurrent_activation": "affine(0.4,0.1)"},
]


def small(dtype: Any = np.float64, **settings: Any) -> tuple[Model, Array]:
    """3 units, 4 inputs, 5 rows of 6 steps."""
    rng = np.random.default_rng(3)
    model = model_of(random_net(rng, 4, 3, dtype), **settings)
    return model, rng.normal(size=(5, 6, 4)).astype(dtype)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.sampled(4)
def test_every_setting_and_number_type(settings: dict[str, Any], dtype: str) -> None:
    model, x = small(dtype, **settings)
    trace = run(model, x, NAMES)
    for step in (0, 2, 5):
        for gate in (None, *GATES):
            check(derive(model, x, step, 1, gate, batch=2), trace, 3)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("masked_output", ["zero", "run"])
def test_lengths_and_masks_at_every_step(reverse: bool, masked_output: str) -> None:
    model, x = small(reverse=reverse, masked_output=masked_output)
    for padding in (
        {"lengths": [6, 4, 1, 0, 3]},
        {"mask": np.arange(30).reshape(5, 6) % 4 > 0},
    ):
        trace = run(model, x, NAMES, **padding)
        for step in range(6):
            for batch in range(5):
                with suppress_left_out():
                    found = derive(model, x, step, 0, batch=batch, **padding)
                    check(found, trace, 3)


def test_terms_are_the_largest_first_and_add_up_exactly() -> None:
    model, x = small(np.float32)
    found = derive(model, x, 2, 1, "f", batch=3)
    terms = found.sums["f"].terms
    sizes = [abs(float(term.product)) for term in terms]
    assert sizes == sorted(sizes, reverse=True)
    names = {
        *(f"x[{n}]" for n in range(4)),
        *(f"h[{n}]" for n in range(3)),
        "bias",
        "forget bias",
    }
    assert {term.name for term in terms} == names
    with mpmath.workdps(60):
        exact = mpmath.fsum(
            mpmath.mpf(float(t.weight))
            * (1 if t.factor is None else mpmath.mpf(float(t.factor)))
            for t in terms
        )
        total = found.sums["f"].total
        assert isinstance(total, Fraction)
        assert exact == mpmath.mpf(total.numerator) / total.denominator
    assert found.line("z_f").rounded_once == np.float32(float(exact))


def test_a_position_is_counted_from_the_end_too() -> None:
    model, x = small()
    found = derive(model, x, -1, -1, batch=-2)
    assert (found.place.step, found.place.unit, found.place.batch) == (5, 2, 3)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"step": 6}, "no step 6; steps are 0 to 5"),
        ({"unit": 3}, "no unit 3; units are 0 to 2"),
        ({"batch": 5}, "no batch item 5; batch items are 0 to 4"),
        ({"cell": "layer1"}, "unknown cell; choose from layer0"),
        ({"gate": "q"}, "no gate 'q'; the gates are i, f, g, o"),
        (
            {"step": 4, "batch": 1, "lengths": [6, 4, 1, 0, 3]},
            "step 4 of batch 1 is left out",
        ),
    ],
)
def test_a_position_that_is_not_there(where: dict[str, Any], words: str) -> None:
    model, x = small()
    with pytest.raises(UserError, match=words):
        derive(model, x, **{"step": 0, "unit": 0, **where})


def test_numbers_that_are_none_go_through() -> None:
    model, x = small()
    x[0, 1, 2] = np.nan
    x[1, 1, 2] = np.inf
    for batch in (0, 1):
        found = derive(model, x, 1, 0, "i", batch=batch)
        assert found.sums["i"].terms[0].name == "x[2]"
        trace = run(model, x, NAMES)
        np.testing.assert_equal(found.line("h").value, trace.h[batch, 1, 0])
    assert "NaN" in str(derive(model, x, 1, 0).to_json())


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("tensorflow1/block_lstm_peepholes", ["i", "f", "g", "c", "o", "h"]),
        ("tensorflow1/block_lstm_v2_clip", ["i", "f", "g", "o", "c", "h"]),
        ("equinox/batch", ["c", "h"]),
        ("torch/projection", ["h"]),
    ],
)
def test_a_framework_s_numbers_are_shown_next_to_ours(
    case: str, names: list[str]
) -> None:
    model, given, arrays = case_of(case)
    theirs = Side(
        "theirs", {k: arrays[k] for k in "hcifgo" if k in arrays}, given["layout"]
    )
    found = derive(model, step=3, unit=1, batch=2, against=theirs, **given)
    assert [line.name for line in found.lines if line.theirs is not None] == names
    assert found.first_difference is None
    assert all(line.agrees for line in found.lines if line.theirs is not None)


def test_the_first_line_that_differs_is_named() -> None:
    model, given, arrays = case_of("tensorflow1/block_lstm_v2_clip")
    theirs = {k: arrays[k].copy() for k in "hcifgo"}
    theirs["g"][3, 2, 1] += 1e-3
    theirs["h"][3, 2, 1] += 1e-3
    side = Side("theirs", theirs, given["layout"])
    found = derive(model, step=3, unit=1, batch=2, against=side, **given)
    assert found.first_difference is not None
    assert found.first_difference.name == "g"
    assert found.differs_before == ()
    later = derive(model, step=4, unit=1, batch=2, against=side, **given)
    assert later.differs_before == ("h",)
    assert later.to_json()["differs_before"] == ["h"]


@pytest.mark.parametrize("cell", ["layer1", "layer1_reverse"])
def test_the_model_s_output_serves_its_last_layer(cell: str) -> None:
    model, given, arrays = case_of("torch/two_layers_bidirectional")
    side = Side("theirs", {"": arrays["h"]}, given["layout"])
    found = derive(model, step=2, unit=1, cell=cell, batch=1, against=side, **given)
    column = 1 + 3 * (cell == "layer1_reverse")
    assert found.line("h").theirs == arrays["h"][1, 2, column]
    assert found.line("h").agrees
    with pytest.raises(UserError, match="no common array"):
        derive(model, step=2, unit=1, cell="layer0", batch=1, against=side, **given)


@pytest.mark.parametrize("layout", ["batch", "time"])
@pytest.mark.parametrize(
    ("part", "taken"),
    [
        (lambda h: h[2], "sequence 2 of 5"),
        (lambda h: h[2:3], "sequence 2 of 5"),
        (lambda h: h[2, 1], "step 1 of 6, sequence 2 of 5"),
    ],
)
def test_a_part_of_a_run_is_shown_at_its_position(
    part: Callable[[Array], Array], taken: str, layout: str
) -> None:
    model, x = small()  # (5, 6, I)
    h = np.asarray(run(model, x, layout="batch").h)
    x = x if layout == "batch" else x.swapaxes(0, 1)
    theirs = part(h)
    theirs = theirs.swapaxes(0, 1) if theirs.ndim == 3 and layout == "time" else theirs
    found = derive(
        model, x, 1, 0, batch=2, against=Side("theirs", {"": theirs}), layout=layout
    )
    assert found.taken == (taken,)
    assert found.line("h").theirs == h[2, 1, 0]
    assert found.line("h").agrees
    off = Side(
        "theirs", {"": theirs + 1e-6}
    )  # within the bounds of float32, not of float64
    assert (
        not derive(model, x, 1, 0, batch=2, against=off, layout=layout).line("h").agrees
    )


@pytest.mark.parametrize("steps", [[0, 1, 2], [3, 4, 5], [2, 4]])
def test_some_steps_are_those_whose_indices_the_file_has(steps: list[int]) -> None:
    model, x = small()  # (5, 6, I)
    h = np.asarray(run(model, x, layout="batch").h)
    side = Side("theirs", {"": h[:, steps]}, "batch", part=Part(steps))
    found = derive(model, x, steps[-1], 0, batch=2, against=side)
    assert found.taken == (f"steps {format_indices(steps)}",)
    assert found.line("h").theirs == h[2, steps[-1], 0]
    assert found.line("h").agrees
    with pytest.raises(
        UserError, match=r"not the numbers of this place(?s:.)*it has the numbers"
    ):
        derive(
            model, x, 5 - steps[-1] if steps[-1] < 5 else 1, 0, batch=2, against=side
        )
    silent = Side("theirs", {"": h[:, steps]}, "batch")
    found = derive(model, x, 0, 0, batch=2, against=silent)
    assert found.taken == (f"steps 0:{len(steps)} of this run",)
    assert found.line("h").theirs == h[2, steps[0], 0]


def test_a_layout_makes_two_axes_sequences() -> None:
    """Of 5 sequences and 5 steps, the last step of sequence 0 agrees."""
    model, x = small()
    x = x[:, :5]
    last = np.asarray(run(model, x, layout="batch").h)[:, -1]
    last[1:] += 0.1
    theirs = Side("theirs", {"": last})
    found = derive(model, x, -1, 0, batch=2, against=theirs, layout="batch")
    assert found.line("h").theirs == last[2, 0]
    assert found.taken[0].startswith("the last step")
    silent = derive(model, x, -1, 0, batch=2, against=theirs)
    assert silent.taken[0].startswith("batch 2 of this run (assumed")
    one = Side("theirs", {"": last[:4]})  # of a sequence of 4 steps
    found = derive(model, x[:, :4], 1, 0, batch=2, against=one, layout="batch")
    assert found.line("h").theirs == last[1, 0]


def test_one_step_of_all_sequences_is_that_whose_numbers_it_has() -> None:
    model, x = small()
    h = np.asarray(run(model, x, layout="batch").h)
    found = derive(model, x, 4, 0, batch=2, against=Side("theirs", {"": h[:, 4]}))
    assert found.taken == ("step 4 of 6",)  # not 5 steps of one sequence
    assert found.line("h").agrees


@pytest.mark.parametrize("wrong", [0.0, 0.1])
@pytest.mark.parametrize("name", ["", "final_h"])
def test_a_last_state_is_the_last_step(name: str, wrong: float) -> None:
    """(B, H), as many steps of one sequence as it may be; and of one sequence (H,)."""
    model, x = small()
    last = np.asarray(run(model, x, layout="batch").h)[:, -1] + wrong
    found = derive(model, x, -1, 0, batch=2, against=Side("theirs", {name: last}))
    assert found.line("h").theirs == last[2, 0]
    assert found.line("h").agrees is (wrong == 0)
    assert ("assumed" in found.taken[0]) == (name == "" and wrong > 0)
    one = derive(model, x[2], -1, 0, against=Side("theirs", {name: last[2]}))
    assert one.line("h").theirs == last[2, 0]


def test_a_last_state_at_another_step_says_which_step_to_ask_for() -> None:
    model, x = small()
    final = Side(
        "theirs", {"final_h": np.asarray(run(model, x, layout="batch").final_h)}
    )
    with pytest.raises(
        UserError,
        match=r"(?s)theirs has final_h: the state after .*  step=-1  the last",
    ):
        derive(model, x, 4, 0, against=final)
    found = derive(model, x, 3, 0, batch=1, lengths=[4] * 5, against=final)
    assert found.line("h").theirs == final.arrays["final_h"][1, 0]
    last = Side("theirs", {"": np.asarray(run(model, x[3]).h)[-1]})
    with pytest.raises(
        UserError, match=r"the last step of sequence 3.*\n  Try step=5, batch=3"
    ):
        derive(model, x, 4, 0, batch=2, against=last)


@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1), (6, -1, 1)], ids=str)
def test_a_sequence_in_a_row_is_its_steps(shape: tuple[int, ...]) -> None:
    model, x = small()
    row = np.asarray(run(model, x, layout="batch").h)[2].reshape(shape)
    found = derive(model, x, 4, 1, batch=2, against=Side("theirs", {"": row}))
    assert found.taken[0].endswith("sequence 2 of 5")
    assert found.line("h").agrees
    short = Side("theirs", {"": row.ravel()[:-1]})
    with pytest.raises(
        UserError, match=r"h is \(17,\), as .steps, batch, units. \(1, 1, 17\)"
    ):
        derive(model, x, 4, 1, batch=2, against=short)


def test_one_sequence_that_fits_nowhere_is_that_of_the_derivation_and_reported() -> (
    None
):
    model, x = small()
    theirs = np.asarray(run(model, x, layout="batch").h)[2] * np.array([3.0, -2, 5])
    found = derive(model, x, 1, 0, batch=3, against=Side("theirs", {"": theirs}))
    assert found.taken[0].startswith("batch 3 of this run (assumed")
    assert not found.line("h").agrees


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((5, 7, 3), r"h is \(5, 7, 3\), as .steps, batch, units. \(7, 5, 3\)"),
        ((0, 3), r"theirs is empty: h is \(0, 3\), without numbers"),
    ],
)
def test_another_shape_is_refused(shape: tuple[int, ...], text: str) -> None:
    model, x = small()
    with pytest.raises(UserError, match=text):
        derive(model, x, 0, 0, against=Side("theirs", {"h": np.zeros(shape)}, "batch"))


@pytest.mark.parametrize(
    ("value", "formula"),
    [
        ("negated", "f * c_prev - i * g"),
        ("gates_exchanged", "i * c_prev + f * g"),
        ("f_of_all", "f * (c_prev + i * g)"),
        ("i_of_all", "i * (f * c_prev + g)"),
        ("tanh", "tanh(f * c_prev + i * g)"),
    ],
)
def test_an_edit_that_takes_formulas_is_shown(value: str, formula: str) -> None:
    """The line of c is the edit's, its number that of the formula, written out."""
    rng = np.random.default_rng(0)
    weights, x = random_net(rng, 3, 2), rng.normal(size=(4, 3))
    found = derive(weights, x, 2, 1, edits=[f"equations.c={value}"])
    line = found.line("c")
    assert line.formula == formula
    numbers = {name: float(number) for name, number in line.numbers.items()}
    expected = eval(formula, {"tanh": np.tanh}, numbers)  # the text is in this test
    assert float(line.value) == pytest.approx(expected, rel=1e-12)
    edited = run(weights, x, edits=[f"equations.c={value}"])
    assert line.value == edited.c[2, 1]


def test_a_sequence_of_a_large_batch_has_the_bits_that_run_gives_it() -> None:
    """Rows run in blocks, and what is kept must not matter."""
    rng = np.random.default_rng(8)
    model = model_of(random_net(rng, 40, 96, np.float32, 0.1))
    x = rng.normal(size=(150, 5, 40)).astype(np.float32)
    alone = run(model, x, keep="h")
    whole = run(model, x)
    for batch in (0, 63, 64, 149):
        found = derive(model, x, 4, 50, "i", batch=batch)
        assert found.line("h").value == alone.h[batch, 4, 50]
        assert found.line("i").value == whole.i[batch, 4, 50]


# ---- sums worked out exactly, and rounded once


FLOATS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
TYPES = ["float16", "float32", "float64", "longdouble"]


@given(FLOATS)
def test_a_number_survives_being_made_a_fraction(value: float) -> None:
    assert rounded(exactly(np.float64(value)), np.dtype(np.float64)) == value


@pytest.mark.parametrize("dtype", TYPES)
@given(st.fractions(-1000, 1000))
def test_no_number_of_the_type_is_nearer(dtype: str, exact: Fraction) -> None:
    kind = np.dtype(dtype)
    found = rounded(exact, kind)
    assert found.dtype == kind
    nearest = abs(Fraction(*found.as_integer_ratio()) - exact)
    for towards in (-np.inf, np.inf):
        beside = np.nextafter(found, kind.type(towards))
        assert abs(Fraction(*beside.as_integer_ratio()) - exact) >= nearest


def test_a_sum_that_cancels_loses_nothing() -> None:
    """In float64, adding these in any order but the last gives 0 or 2."""
    numbers = [np.float64(n) for n in (1.0, 1e100, 1.0, -1e100)]
    total = Sum.of([Term(f"x[{n}]", w) for n, w in enumerate(numbers)])
    assert total.total == 2
    assert [term.name for term in total.terms] == ["x[1]", "x[3]", "x[0]", "x[2]"]
    assert rounded(total.total, np.dtype(np.float64)) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", TYPES)
def test_nan_comes_first_and_stays(bad: float, dtype: str) -> None:
    kind: Any = np.dtype(dtype).type
    total = Sum.of([Term("bias", kind(2)), Term("x[0]", kind(3), kind(bad), "kernel")])
    assert total.terms[0].name == "x[0]"
    np.testing.assert_equal(rounded(total.total, np.dtype(dtype)), kind(bad))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_sum_beyond_the_type_is_infinite(dtype: str) -> None:
    kind: Any = np.dtype(dtype).type
    large = np.finfo(kind).max
    total = Sum.of([Term("x[0]", large), Term("x[1]", -large), Term("bias", kind(1.5))])
    assert rounded(total.total, np.dtype(dtype)) == 1.5


@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_are_counted_between_two(dtype: str) -> None:
    kind: Any = np.dtype(dtype).type
    one = kind(1.25)
    up = np.nextafter(np.nextafter(one, kind(2)), kind(2))
    assert ulps_between(one, one) == 0
    assert ulps_between(one, up) == ulps_between(up, one) == 2
    assert ulps_between(kind(np.nan), kind(np.nan)) == 0
    assert ulps_between(kind(np.nan), one) is None
    assert ulps_between(kind(0), np.nextafter(kind(0), kind(1))) == 1
