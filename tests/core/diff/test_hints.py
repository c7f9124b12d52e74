"""Hints: every proof is found for its rearrangement, and for nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmcli
from lstmcli.core.diff import rearrangements
from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.rearrangements import proves
from lstmcli.core.diff.tolerance import FLOAT64, Numbers, Tolerance
from lstmcli.core.model.selection import Selection
from lstmcli.views.diff import next_command
from tests.core.explain import matrix, reference
from tests.core.explain.asking import asking
from tests.core.explain.reference import sigmoid
from tests.networks import normal

Array = npt.NDArray[Any]

T, B, H = 7, 3, 6


def of(layout: str | None = "time", name: str = "x.npz", **named: Array) -> Side:
    return Side(name, named, layout)


def codes(d: Difference) -> list[str]:
    return [hint.code for hint in d.hints]


def h_codes(a: Array, b: Array, **asked: float) -> list[str]:
    return codes(compare(of(h=a), of(h=b), **asked))  # type: ignore[arg-type]


def is_proof(code: str) -> bool:
    return not code.startswith("suspect_")


def second_half_turned(h: Array) -> Array:
    return np.concatenate([h[..., : H // 2], h[::-1, :, H // 2 :]], axis=-1)


def first_half_turned(h: Array) -> Array:
    return second_half_turned(h)[::-1]


# ---- rearrangements

PROOFS: list[tuple[str, Callable[[Array], Array]]] = [
    ("time_flipped", lambda h: h[::-1]),
    ("axes_swapped", lambda h: h.swapaxes(0, 1)),
    ("axes_permuted", lambda h: h.transpose(2, 1, 0)),
    ("axes_permuted", lambda h: h.transpose(1, 2, 0)),
    ("axes_permuted", lambda h: h.transpose(2, 0, 1)),
    ("reshaped", lambda h: h.reshape(B, T, H)),
    ("reshaped", lambda h: h.swapaxes(0, 1).reshape(T, B, H)),
    ("reshaped", lambda h: h.reshape(B, T, H).swapaxes(0, 1)),
    ("batch_permuted", lambda h: h[:, [*range(1, B), 0]]),
    ("rescaled", lambda h: 2.5 * h),
    ("rescaled", lambda h: -0.5 * h),
    ("rescaled", lambda h: h + np.float32(0.01)),
    ("rounded", lambda h: np.round(h, 4)),
    ("units_permuted", lambda h: h[..., [1, 0, 2, 3, 4, 5]]),
    ("units_permuted", lambda h: h[..., [3, 5, 1, 0, 2, 4]]),
    ("rescaled", lambda h: -h),
    ("halves_exchanged", lambda h: np.roll(h, H // 2, axis=-1)),
    ("half_flipped", first_half_turned),
    ("half_flipped", second_half_turned),
    ("shifted_by_one", lambda h: np.concatenate([np.zeros_like(h[:1]), h[:-1]])),
    ("shifted_by_one", lambda h: np.concatenate([h[1:], np.zeros_like(h[:1])])),
    ("part_of_steps", lambda h: h[1:]),
    ("part_of_steps", lambda h: h[2:5]),
    ("part_of_steps", lambda h: h[-1:]),
]


@pytest.mark.parametrize(("code", "how"), PROOFS)
@given(seed=st.integers(0, 10**6), single=st.booleans(), flipped=st.booleans())
@settings(max_examples=8)
def test_a_rearrangement_is_found_on_either_side(
    code: str, how: Callable[[Array], Array], seed: int, single: bool, flipped: bool
) -> None:
    h = normal(T, B, H, seed=seed).astype("f4" if single else "f8")
    pair = (h, how(h)) if flipped else (how(h), h)
    assert h_codes(*pair) == [code]


@given(
    st.integers(0, 10**6),
    st.sampled_from([(1, 1, 3), (7, 1, 3), (5, 5, 4), (7, 3, 6), (2, 1, 40)]),
)
@settings(max_examples=60)
@pytest.mark.slow
def test_nothing_is_proved_of_unrelated_numbers(
    seed: int, shape: tuple[int, int, int]
) -> None:
    a, b = normal(2, *shape, seed=seed)
    names = {"h": a, "c": a**3, "i": sigmoid(a), "f": sigmoid(a + 1)}
    others = {"h": b, "c": b**3, "i": sigmoid(b), "f": sigmoid(b + 1)}
    one, other = Side("a", names, "time"), Side("b", others, "time")
    for difference in (compare(one, other), compare(one, other, atol=1e-3)):
        found = codes(difference)
        assert not any(map(is_proof, found)), found


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_arrays_prove_nothing(value: float) -> None:
    still = np.full((T, B, H), value)
    for other in (-still - 1e-3, still + 1, -still + 2e-5, normal(T, B, H)):
        assert not any(map(is_proof, h_codes(still, other)))


def test_the_largest_numbers_there_are_give_no_warning() -> None:
    h = normal(T, B, H) * (np.finfo(float).max / 9)
    assert h_codes(h[::-1], h) == ["time_flipped"]


def test_equal_outputs_get_no_hint() -> None:
    h = normal(1, B, H).repeat(T, axis=0)  # also equal when flipped, and when shifted
    assert h_codes(h, h.copy()) == []


def test_crowded_numbers_do_not_prove_a_permutation() -> None:
    """Each number of one side is near a few of the other, so that some order has to fit."""
    rng = np.random.default_rng(0)
    levels = np.repeat(np.arange(6.0), 20)  # six values, far apart, each twenty times
    a, b = (rng.permutation(levels) + rng.uniform(-0.05, 0.05, 120) for _ in range(2))
    assert np.abs(np.sort(a) - np.sort(b)).max() < 0.1
    assert "units_permuted" not in h_codes(a[None, None], b[None, None], atol=0.1)


def test_numbers_of_few_digits_prove_rounding_only_where_all_round_to_them() -> None:
    h = normal(T, B, H).astype("f4")
    few = np.round(h.astype(float), 3)
    d = compare(of(name="few.csv", h=few), of(name="h.npy", h=h))
    said = "h agrees once h.npy is rounded to 3 digits after the point, as all of few.csv are."
    assert only_text(d) == said
    few[2, 1, 3] += 1e-3
    assert "rounded" not in h_codes(few, h)
    assert "rounded" not in h_codes(h + np.float32(4e-4), h)


def test_one_digit_is_one_and_integers_are_not_rounded() -> None:
    h = normal(T, B, H)
    d = compare(of(name="few", h=np.round(h, 1)), of(name="h", h=h))
    assert "h is rounded to 1 digit after the point" in only_text(d)
    whole = np.round(10 * h)
    assert "rounded" not in h_codes(whole, whole + 0.04 * np.sin(h))


def test_a_permutation_survives_dead_units() -> None:
    h = normal(T, B, H)
    h[..., [1, 4]] = 0
    assert h_codes(h[..., [2, 1, 0, 5, 4, 3]], h) == ["units_permuted"]


def test_the_permutation_shown_is_the_one_that_repairs() -> None:
    h = normal(T, B, H)
    d = compare(of(h=h[..., [3, 5, 1, 0, 2, 4]]), of(h=h))
    assert f"({', '.join(map(str, np.argsort([3, 5, 1, 0, 2, 4])))})" in d.hints[0].text


def test_the_digits_of_a_print_are_moved_with_its_numbers() -> None:
    """An element printed to few digits may be off by more than the others, wherever it goes."""
    h = normal(T, 1, H)
    units = np.where(np.arange(T)[:, None, None] < 2, 1e-2, 1e-9) * np.ones(h.shape)
    rough = np.round(h / units) * units
    print_ = Side("a.txt", {"h": rough[::-1]}, "time", {"h": units[::-1]})
    assert codes(compare(print_, of(h=h), atol=0.0)) == ["time_flipped"]


def test_a_missing_step_is_not_attributed_to_one_side() -> None:
    """Of outputs and their first step left out, in both orders."""
    h = normal(T, B, H)
    full, cut = (
        of(name="full", h=h),
        of(name="cut", h=np.concatenate([h[1:], 0.3 * h[-1:]])),
    )
    for sides in ((full, cut), (cut, full)):
        start, _, blame = only_text(compare(*sides)).partition(", and so on. ")
        assert (
            start
            == "h agrees once shifted by one step: step 1 of full is step 0 of cut"
        )
        assert blame.endswith("is missing in cut.")


def test_weights_may_be_transposed_or_have_their_gates_in_another_order() -> None:
    kernel, bias = normal(5, 12), normal(12)
    assert codes(compare(of(kernel=kernel.T), of(kernel=kernel))) == ["transposed"]
    blocks = np.arange(12).reshape(4, 3)[[0, 2, 1, 3]].ravel()
    d = compare(
        of(kernel=kernel[:, blocks], bias=bias[blocks]), of(kernel=kernel, bias=bias)
    )
    assert codes(d) == ["gates_permuted", "gates_permuted"]
    assert "0, 2, 1, 3" in d.hints[0].text


# ---- names


def test_h_may_be_what_the_other_calls_c() -> None:
    h, c = normal(2, T, B, H)
    assert codes(compare(of(h=h, c=c), Side("b", {"": c}))) == ["h_is_c"]
    d = compare(of(name="a", h=h, c=c), of(name="b", h=c, c=h))
    assert codes(d) == ["h_is_c"]
    assert "h of b is c of a, c of b is h of a" in d.hints[0].text
    final = compare(of(final_h=h[0], final_c=c[0]), of(final_h=c[0], final_c=h[0]))
    assert codes(final) == ["h_is_c"]


def test_directions_may_go_under_each_others_names() -> None:
    h, back = normal(2, T, B, H)
    one = Side("a", {"layer0.h": h, "layer0_reverse.h": back}, "time")
    other = Side("b", {"layer0.h": back, "layer0_reverse.h": h}, "time")
    assert codes(compare(one, other)) == ["names_exchanged"]


def test_names_of_other_layers_are_not_searched() -> None:
    h, other = normal(2, T, B, H)
    one = Side("a", {"layer0.h": h, "layer1.c": other}, "time")
    two = Side("b", {"layer0.h": other, "layer1.c": h}, "time")
    assert not any(map(is_proof, codes(compare(one, two))))
    three = Side("b", {"layer0.h": other, "layer1.h": h}, "time")
    assert not any(
        map(is_proof, codes(compare(Side("a", {"layer0.h": h}, "time"), three)))
    )
    four = Side("a", {"layer0.h": h, "layer1.h": other}, "time")
    assert not any(
        map(is_proof, codes(compare(four, Side("b", {"layer0.h": other}, "time"))))
    )


# ---- settings, and the forget bias as the gates show it


def test_settings_that_differ_are_reported_first() -> None:
    h = normal(T, B, H)
    meta = {"forget_bias": 1.0, "gates": "igfo", "layout": "time"}
    one = Side("a", {"h": h[::-1]}, "time", settings=meta)
    others = {**meta, "layout": "batch", "forget_bias": 0.0, "cell_clip": 3.0}
    other = Side("b", {"h": h}, "time", settings=others)
    d = compare(one, other)
    assert codes(d) == ["settings_differ", "time_flipped"]
    assert d.hints[0].text.endswith("forget_bias 1.0 / 0.0; cell_clip not set / 3.0.")
    assert codes(compare(one, one)) == []
    assert codes(compare(one, Side("b", {"h": h}, "time"))) == ["time_flipped"]


@pytest.mark.parametrize("constant", [1.0, -2.5, 0.3333])
def test_the_forget_bias_is_solved_from_the_gates(constant: float) -> None:
    z = normal(T, B, H)
    drift = np.vstack([np.zeros((1, B, H)), normal(T - 1, B, H, seed=1)])
    a = of(name="a", f=sigmoid(z + constant).astype("f4"), h=z + drift)
    d = compare(a, of(name="b", f=sigmoid(z + drift).astype("f4"), h=z))
    assert codes(d) == ["forget_bias"]
    more, less = ("a", "b") if constant > 0 else ("b", "a")
    expected = f"{more} adds {abs(constant):g} more than {less}"
    assert expected in d.hints[0].text


def test_the_forget_bias_of_a_print_is_the_number_that_was_typed() -> None:
    z = normal(T, B, H)

    def print_(f: Array) -> Side:
        return Side(
            "a.txt", {"f": np.round(f, 4)}, "time", {"f": np.full(f.shape, 1e-4)}
        )

    d = compare(print_(sigmoid(z + 1)), print_(sigmoid(z)))
    assert codes(d) == ["forget_bias"]
    assert "adds 1 more than" in d.hints[0].text


def test_another_forget_gate_is_only_suspected() -> None:
    z = normal(T, B, H)
    i, g = sigmoid(z), np.tanh(z)
    d = compare(of(f=sigmoid(z), i=i, g=g), of(f=1 - sigmoid(z + 0.3 * z**2), i=i, g=g))
    assert codes(d) == ["suspect_forget_gate"]


# ---- NaN


def test_nan_on_both_sides_is_reported() -> None:
    h = normal(T, B, H)
    h[3:, 1] = np.nan
    d = compare(of(h=h), of(h=h.copy()))
    assert codes(d) == ["nan_in_both"]
    assert "--equal-nan" in d.hints[0].text


def test_nan_on_one_side_is_suspected_from_its_first_step_on() -> None:
    h = normal(T, B, H)
    other = h.copy()
    other[3:, 1] = np.nan
    d = compare(of(name="a", h=h), of(name="b", h=other))
    assert codes(d) == ["suspect_nan"]
    assert "h of b is NaN from step 3 on" in d.hints[0].text


# ---- patterns: a small cell to make mistakes with


def trace(
    *, steps: int = 12, late: float = 0.0, start: float = 0.0, seed: int = 0, keep: str = "hcifgo",
    **truth: Any,
) -> Side:  # fmt: skip
    """A cell by the equations under true settings; ``late`` is added to x from step 5 on."""
    rng = np.random.default_rng(seed)
    net, x = (
        reference.Net(rng.normal(size=(7, 12)), np.zeros(12)),
        rng.normal(size=(2, steps, 4)),
    )
    x[:, 5:] += late
    state = np.full((2, 3), start), np.full((2, 3), start)
    arrays = reference.outputs(net, x, {"gates": "ifgo", **truth}, state)
    return Side("x", {name: arrays[name].swapaxes(0, 1) for name in keep}, "time")


def only(d: Difference) -> str:
    assert len(d.hints) == 1, codes(d)
    return d.hints[0].code


@pytest.mark.parametrize(
    "mistake",
    [
        {"forget_bias": 0.0},
        {"transposed": "recurrent"},
        {"recurrent_gates": "igfo"},
        {"state": "reset"},
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_causes_hidden_at_step_0_are_all_suspected(
    mistake: dict[str, Any], seed: int
) -> None:
    d = compare(trace(keep="h", seed=seed), trace(keep="h", seed=seed, **mistake))
    assert only(d) == "suspect_recurrence"
    (hint,) = d.hints
    assert hint.seen.startswith("Step 0 agrees")
    for word in ("forget bias", "recurrent weights", "coupled", "not carried"):
        assert any(word in cause for cause in hint.causes)
    for word in ("kernel", "bias", "activations"):
        assert word in hint.excluded


def h_of(net: reference.Net, x: Array, **truth: Any) -> Array:
    return reference.outputs(net, x, truth)["h"]


def test_a_first_step_that_agrees_leaves_f_and_later_inputs() -> None:
    rng = np.random.default_rng(2)
    net, x = reference.random_net(rng, 4, 3), rng.normal(size=(2, 12, 4))
    of_f = net.kernel.copy()
    of_f[:4, 6:9] += 1.0  # i g f o in a row
    later = x.copy()
    later[:, 1:] += 0.5
    for other, cause in (
        (h_of(replace(net, kernel=of_f), x), "weights or activation of f"),
        (h_of(net, later), "other inputs from step 1 on"),
    ):
        (hint,) = batch_first(h_of(net, x), other).hints
        assert hint.seen.startswith("Step 0 agrees, all later steps differ")
        assert cause in hint.causes
        assert "the kernel and the biases of i, g and o, their order" in hint.excluded


@pytest.mark.parametrize("layout", ["time", "batch", None])
def test_a_layout_forgotten_with_another_mistake_is_suspected(
    layout: str | None,
) -> None:
    """Step 0 of sequence 0 alone agrees; what acts there is no suspect."""
    rng = np.random.default_rng(3)
    net, x = reference.random_net(rng, 4, 5), rng.normal(size=(6, 8, 4))
    port = h_of(net, x, forget_bias=0.0)
    if layout == "batch":
        x, port = x.swapaxes(0, 1), port.swapaxes(0, 1)
        run = h_of(net, x)
    else:
        run = h_of(net, x.swapaxes(0, 1)).swapaxes(0, 1)
    settings = {"layout": layout} if layout else None
    sides = Side("run.npz", {"h": run}, layout, settings=settings), of(layout, h=port)
    d = compare(*sides)
    assert only(d) == "suspect_layout"
    (hint,) = d.hints
    other = {
        "time": "--layout batch",
        "batch": "--layout time",
        None: "the other --layout",
    }
    assert hint.causes[0].endswith(f"run with {other[layout]}")
    assert not re.search("gate order|kernel|bias|activation", " ".join(hint.causes))
    assert "the kernel and the biases" in hint.excluded
    typed = next_command(d)
    assert typed.endswith("x.npz" if layout is None else f"x.npz {other[layout]}")


@pytest.mark.parametrize("agreeing", [[1], [0, 2]])
def test_a_first_step_of_some_sequences_excludes_what_acts_in_all(
    agreeing: list[int],
) -> None:
    """The others begin with another state, and all later steps have another forget bias."""
    rng = np.random.default_rng(4)
    net, x = reference.random_net(rng, 4, 5), rng.normal(size=(3, 8, 4))
    start = rng.normal(size=(3, 5))
    start[agreeing] = 0.0
    other = reference.outputs(net, x, {"forget_bias": 0.0}, (start, start))["h"]
    (hint,) = batch_first(h_of(net, x), other).hints
    shown = " and ".join(map(str, agreeing))
    assert f"Step 0 of sequence{'s'[: len(agreeing) - 1]} {shown} agrees" in hint.seen
    assert not re.search("gate order|kernel|bias|activation", " ".join(hint.causes))
    assert "the kernel and the biases" in hint.excluded


def only_text(d: Difference) -> str:
    only(d)
    return d.hints[0].text


@pytest.mark.parametrize(
    ("mistake", "code"),
    [
        ({"forget_bias": 0.0}, "forget_bias"),
        ({"transposed": "recurrent"}, "suspect_recurrent_weights"),
        ({"kernel_gates": "igfo"}, "suspect_first_step"),
        ({"kernel_gates": "figo", "forget_bias": 0.0}, "suspect_gate_order"),
        ({"kernel_gates": "ofgi"}, "suspect_gate_order"),
        ({"activation": "relu", "output_activation": "tanh"}, "suspect_activation"),
        ({"recurrent_activation": "hard_sigmoid_0.2"}, "suspect_activation"),
        ({"output_activation": "identity"}, "suspect_output"),
        ({"cell_clip": 0.05}, "suspect_cell_update"),
        ({"start": 2.0}, "suspect_initial_state"),
    ],
)
def test_the_gates_narrow_it_down(mistake: dict[str, Any], code: str) -> None:
    usual: dict[str, Any] = {"forget_bias": 0.0} if code == "suspect_gate_order" else {}
    d = compare(trace(**usual, steps=40), trace(**{**usual, **mistake}, steps=40))
    assert only(d) == code


def test_an_output_that_differs_while_c_agrees() -> None:
    d = compare(trace(keep="hc"), trace(keep="hc", output_activation="identity"))
    assert only(d) == "suspect_output"
    assert "the output gate" in d.hints[0].text


def test_steps_that_differ_late_are_not_attributed_to_weights() -> None:
    d = compare(trace(keep="h"), trace(keep="h", late=0.5))
    assert only(d) == "suspect_later_step"
    assert "step 5 is the first to differ" in d.hints[0].text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("float32", "the size of float32 rounding"),
        ("float16", "of lower precision (int8, float16"),
    ],
)
def test_rounding_is_known_by_its_size(name: str, text: str) -> None:
    exact = trace()
    rounded = {k: v.astype(name).astype(float) for k, v in exact.arrays.items()}
    d = compare(exact, Side("b", rounded, "time"), atol=0.0, rtol=0.0)
    assert only(d) == ("suspect_rounding" if name == "float32" else "suspect_noise")
    assert text in d.hints[0].text


def test_rounding_is_not_suspected_where_it_starts_late() -> None:
    h = normal(T, B, H)
    drift = h.copy()
    drift[3:] += 1e-3
    assert "suspect_rounding" not in h_codes(h, drift)


def test_a_backward_layer_is_reported_in_its_order() -> None:
    forward = trace(keep="h").arrays["h"], trace(keep="h", forget_bias=0.0).arrays["h"]
    a, b = (
        Side(n, {"layer0_reverse.h": h[::-1]}, "time")
        for n, h in zip("ab", forward, strict=True)
    )
    d = compare(a, b)
    assert only(d) == "suspect_recurrence"
    start = "Step 11 (computed first) agrees, all later steps differ."
    assert d.hints[0].text.startswith(start)


def forget_bias_forgotten(seed: int = 0) -> tuple[Array, Array]:
    """h of a run, and of one with another forget bias: step 0 agrees, no later one does."""
    right, wrong = (
        trace(keep="h", seed=seed),
        trace(keep="h", seed=seed, forget_bias=0.0),
    )
    return right.arrays["h"], wrong.arrays["h"]


@pytest.mark.parametrize("half", [0, 1])
def test_one_half_that_differs_is_named(half: int) -> None:
    right, wrong = forget_bias_forgotten()
    other, units = normal(*right.shape, seed=5), right.shape[-1]
    if half:
        right, wrong = right[::-1], wrong[::-1]
    sides = [
        of("time", n, h=np.concatenate([other, h] if half else [h, other], axis=-1))
        for n, h in zip("ab", (right, wrong), strict=True)
    ]
    d = compare(*sides)
    assert codes(d) == ["one_half"]
    forward = f"units 0 to {units - 1} of h differ: the forward half"
    backward = f"units {units} to {2 * units - 1} of h differ: the backward half"
    known = ", if the units are those of two directions side by side."
    assert d.hints[0].text == f"Only {backward if half else forward}{known}"


@pytest.mark.parametrize("merge", ["sum", "mul", "ave"])
def test_half_of_the_units_is_not_a_direction_where_directions_are_merged(
    merge: str,
) -> None:
    right, wrong = normal(T, B, H), normal(T, B, H)
    wrong[..., H // 2 :] += 1
    a, b = (
        Side(n, {"h": h}, "time", settings={"merge": merge})
        for n, h in (("a", right), ("b", wrong))
    )
    assert "one_half" not in codes(compare(a, b))


@pytest.mark.parametrize("order", ["gifo", "ogfi", "iofg", "goif"])
@pytest.mark.parametrize("seed", range(4))
def test_a_first_step_without_inputs_excludes_its_kernel_under_that_condition(
    order: str, seed: int
) -> None:
    """Padding before the sequence: the biases make all of step 0."""
    rng = np.random.default_rng(seed)
    net = reference.random_net(rng, 4, 5)
    net.bias += np.where(net.bias < 0, -1, 1)  # so that h of step 0 is large
    x = rng.normal(size=(3, 8, 4))
    x[:, 0] = 0
    b, a = (
        reference.outputs(net, x, {"kernel_gates": k})["h"] for k in ("igfo", order)
    )
    (hint,) = batch_first(a, b).hints
    assert hint.seen == "Step 0 agrees, all later steps differ."
    assert hint.excluded.startswith(
        "Ruled out, unless the inputs of step 0 are near zero: the"
    )


@pytest.mark.parametrize("truth", [
    {"gates": "ogfi"}, {"gates": "fgio"}, {"gates": "igof"}, {"transposed": "kernel"},
    {"recurrent_activation": "hard_sigmoid_0.2"}, {"activation": "relu"},
])  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 0.3, 0.1, 0.03, 0.01])
def test_a_mistake_that_a_small_first_step_hides_is_not_excluded(
    truth: dict[str, str], scale: float
) -> None:
    """Whatever the size of weights and inputs: step 0 may agree within the tolerance."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        net = reference.random_net(rng, 4, 4, scale=scale)
        net.bias = net.bias * 0
        x = rng.normal(size=(3, 8, 4)) * scale
        b, a = (reference.outputs(net, x, t)["h"].astype("f4") for t in ({}, truth))
        for hint in batch_first(a, b).hints:
            assert "Ruled out" not in hint.excluded, hint


def test_zeros_that_agree_give_no_hint() -> None:
    """A first step of zeros has cleared neither the kernel nor anything else."""
    a, b = normal(T, B, H), normal(T, B, H, seed=1)
    for zeros in (1, 3):
        a[:zeros] = b[:zeros] = 0
        assert h_codes(a, b) == []


def test_an_error_that_stays_is_not_blamed_on_the_initial_state() -> None:
    h = normal(T, B, H)
    h[:, 0, 0] = 5  # the scale of every step
    error = np.linspace(1, 0.3, T)[:, None, None]
    assert h_codes(h + error * np.sign(h), h) == ["suspect_first_step"]
    gone = np.geomspace(1, 1e-3, T)[:, None, None]
    assert h_codes(h + gone * np.sign(h), h) == ["suspect_initial_state"]


def test_different_shapes_have_no_pattern() -> None:
    assert h_codes(normal(T, B, H), normal(T, B, H + 1)) == []


# ---- a number or two that no convention explains


@pytest.mark.parametrize("value", [np.inf, -np.inf, 0.5, np.nan])
@pytest.mark.parametrize("step", [0, 1, 5, 11])
def test_one_odd_number_is_named_and_no_cell_suspected(step: int, value: float) -> None:
    h = normal(12, 3)
    odd = h.copy()
    odd[step, 1] = value
    d = compare(of("steps", "a.npy", h=odd), of("steps", "b.npy", h=h))
    assert only(d) == "suspect_single"
    named = f"h at step {step}, unit 1 is {value} in a.npy and {h[step, 1]} in b.npy"
    assert d.hints[0].text.startswith(f"One value of 36 differs: {named}.")


def test_one_step_that_differs_is_not_attributed_to_recurrence() -> None:
    h = normal(12, 3)
    odd = h.copy()
    odd[1] += 1
    assert "suspect_recurrence" not in h_codes(odd[:, None], h[:, None])


# ---- small differences everywhere


def fast_tanh(z: Array) -> Array:
    """The usual rational approximation, as audio plug-ins have it."""
    z = np.clip(z, -3, 3)
    return np.asarray(z * (27 + z * z) / (27 + 9 * z * z))


def int8(weights: Array) -> Array:
    """Symmetric, with one scale."""
    scale = np.abs(weights).max() / 127
    return np.asarray(np.round(weights / scale) * scale)


SMALL: dict[str, Callable[[reference.Net, Array, np.random.Generator], Array]] = {
    "noise of 1e-3": lambda net, x, rng: (
        (h := reference.outputs(net, x, {})["h"]) + rng.normal(0, 1e-3, h.shape)
    ),
    "int8 weights": lambda net, x, rng: reference.outputs(
        replace(net, kernel=int8(net.kernel)), x, {}
    )["h"],
    "weights of 1 % noise": lambda net, x, rng: reference.outputs(
        replace(net, kernel=net.kernel * (1 + rng.normal(0, 0.01, net.kernel.shape))),
        x,
        {},
    )["h"],
    "fast tanh": lambda net, x, rng: with_tanh(fast_tanh, net, x),
}
SIZES = ((7, 3, 4, 3), (9, 4, 5, 4), (40, 2, 16, 32))  # T, B, I, H


def with_tanh(tanh: Callable[[Array], Array], net: reference.Net, x: Array) -> Array:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reference.ACTIVATIONS, "tanh", tanh)
        return reference.outputs(net, x, {})["h"]


def batch_first(a: Array, b: Array) -> Difference:
    return compare(of("batch", "a", h=a), of("batch", "b", h=b))


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("seed", range(6))
def test_small_differences_everywhere_do_not_suggest_a_gate_order(
    kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    T, B, I, H = SIZES[seed % 3]
    net = reference.random_net(rng, I, H)
    x = rng.normal(size=(B, T, I))
    d = batch_first(SMALL[kind](net, x, rng), reference.outputs(net, x, {})["h"])
    assert only(d) in ("suspect_noise", "suspect_rounding")
    suspected = " ".join(d.hints[0].causes)
    for word in ("gate order", "transpose", "direction", "forget bias"):
        assert word not in suspected


FAR = [row for row in matrix.SINGLES if row.truth.get("peepholes") != "old_c"]


@pytest.mark.parametrize("row", FAR, ids=lambda row: row.name)
def test_no_mistake_of_the_matrix_is_taken_for_noise(
    row: matrix.Row, tmp_path: Path
) -> None:
    """But peepholes that read another c, which the text names: they come as near as 30 dB."""
    for seed in range(3):
        one = asking(row, tmp_path, "float64", seed)
        run = lstmcli.run(one.weights, one.x, **{"layout": "batch", **one.given})
        found = codes(batch_first(one.expected, run.h))
        assert not {"suspect_noise", "suspect_rounding"} & {*found}


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (slice(2, 5), "steps 2 to 4 of 7: lstm diff --steps 2:5 compares these."),
        (slice(6, 7), "the last step: lstm diff --steps 6:7 compares these."),
        (slice(3, 4), "step 3 of 7: lstm diff --steps 3:4 compares these."),
    ],
)  # fmt: skip
def test_a_part_of_the_steps_is_described(part: slice, text: str) -> None:
    h = normal(7, B, H)
    d = compare(of(name="a.npy", h=h[part]), of(name="b.npy", h=h))
    assert d.hints[0].text == f"h agrees once a.npy is interpreted as {text}"
    choice = Selection.parse(re.findall("--steps (.*) compares", text)[0], None, None)
    assert compare(
        of(name="a.npy", h=h[part]), of(name="b.npy", h=h), selection=choice
    ).equal


def tried_windows(
    monkeypatch: pytest.MonkeyPatch, part: Side, full: Side
) -> tuple[list[str], int]:
    """The hints, and how many windows of the full side were compared."""
    tried = []

    def counted(test: Tolerance, a: Numbers, b: Numbers, agreed: Any = None) -> bool:
        tried.append((a.shape, b.shape))
        return proves(test, a, b, agreed)

    monkeypatch.setattr(rearrangements, "proves", counted)
    found = codes(compare(part, full))
    shape = part.arrays["h"].shape
    return found, tried.count((shape, shape))


@pytest.mark.parametrize("unit", [None, 0.01])
def test_windows_of_steps_are_found_by_their_first_step(
    monkeypatch: pytest.MonkeyPatch, unit: float | None
) -> None:
    """Of long outputs, a few windows are compared; numbers of two digits start alike often."""
    h = normal(20_000, 1, 3)
    part = h[15_000:15_007].copy()
    units = {}
    if unit is not None:
        part = np.round(part, 2)
        units = {"h": np.full(part.shape, unit)}
    one, full = Side("part", {"h": part}, "time", units), of(name="full", h=h)
    found, tried = tried_windows(monkeypatch, one, full)
    assert found == ["part_of_steps"]
    assert tried <= 64
    unrelated = replace(one, arrays={"h": normal(7, 1, 3, seed=5)})
    assert tried_windows(monkeypatch, unrelated, full)[1] <= 64


def test_a_window_is_found_among_many_that_start_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Zeros of padding before it exclude nothing; of zeros alone a few are compared."""
    zeros, h = np.zeros((500, 1, 3)), normal(9, 1, 3)
    full, part = np.concatenate([zeros, h, zeros]), np.concatenate([zeros[:4], h])
    found, tried = tried_windows(monkeypatch, of(h=part), of(h=full))
    assert found == ["part_of_steps"]
    assert tried <= 64
    nothing = tried_windows(monkeypatch, of(h=zeros[:9]), of(h=zeros))
    assert nothing[0] == []
    assert nothing[1] <= 64


def test_units_that_are_alike_are_permuted_with_the_others() -> None:
    h = normal(T, B, 8)
    h[..., [2, 5]] = 0.0
    assert h_codes(h[..., [3, 6, 0, 7, 1, 2, 4, 5]], h) == ["units_permuted"]


def test_a_loss_of_precision_shows_where_the_first_weight_is_zero() -> None:
    bias = normal(32).astype("f4")
    bias[0] = 0
    assert codes(lstmcli.diff({"bias": bias.astype("f2")}, {"bias": bias}, atol=0)) == [
        "suspect_noise"
    ]


def test_arrays_that_agree_for_the_most_part_are_not_exchanged() -> None:
    """Of equal gates one number of i is wrong: i is not f of the other side."""
    gate = normal(T, B, H)
    wrong = gate.copy()
    wrong[3, 1, 2] = np.nan
    assert codes(compare(of(i=wrong, f=gate), of(i=gate, f=gate))) == ["suspect_single"]


def test_an_array_without_numbers_ends_no_comparison_of_others() -> None:
    h, empty = normal(T, B, H), np.zeros((0, H))
    d = compare(of(h=h, c=empty), of(h=np.cumsum(h, 0), c=empty), only=["h"])
    assert d.arrays["h"].mismatched


@pytest.mark.parametrize(("unit", "enough"), [(0.0, 1), (0.12, 1), (0.13, 0), (1.0, 0)])
def test_printed_numbers_count_once_where_their_intervals_meet(
    unit: float, enough: int
) -> None:
    values = np.array([0.25, 0, 1.25, 0.5])  # each within its last printed place
    numbers = Numbers(values, np.full(4, unit))
    assert proves(Tolerance(FLOAT64, 0, 0), numbers, numbers) == enough
