"""The loop against a plain loop, against fifty digits, and against itself in pieces."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli import run
from lstmcli.core.forward.plan import NAMES
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.saturation import Saturation, is_saturated
from lstmcli.core.model.model import Inputs
from lstmcli.errors import UserError
from tests.core.explain.reference import Array, Net, outputs
from tests.networks import model_of, random_net
from tests.recorded import GOLDEN, held

SHAPES = [
    (9, 1, 4, 3),
    (40, 1, 5, 17),
    (7, 5, 3, 6),
    (20, 33, 7, 5),
    (5, 70, 20, 64),
    (18, 131, 9, 66),
]


def state_of(
    rng: np.random.Generator, rows: int, units: int, dtype: Any = np.float64
) -> dict[str, Array]:
    return {k: rng.normal(size=(rows, units)).astype(dtype) for k in "hc"}


@pytest.mark.parametrize("rows", [1, 4, 40])
def test_a_signalling_nan_among_the_weights_gives_no_warning(rows: int) -> None:
    """Files that are damaged hold some; warnings are errors in tests."""
    net = {
        k: a.astype(np.float32)
        for k, a in random_net(np.random.default_rng(0), 3, 5).items()
    }
    net["kernel"].view(np.uint32)[2, 1] = 0x7FA00000
    x = np.ones((6, rows, 3), np.float32)
    assert np.isnan(run(model_of(net), x, layout="time").h).any()


@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
def test_every_array_agrees_with_a_plain_loop(T: int, B: int, I: int, H: int) -> None:
    rng = np.random.default_rng(T)
    net, x, state = (
        random_net(rng, I, H),
        rng.normal(size=(B, T, I)),
        state_of(rng, B, H),
    )
    expected = outputs(Net(**net), x, {}, (state["h"], state["c"]))
    trace = run(model_of(net), x, NAMES, layout="batch", initial_state=state)
    for name in NAMES:
        np.testing.assert_allclose(
            trace.arrays[name], expected[name], rtol=1e-11, atol=2e-14
        )
    np.testing.assert_array_equal(trace.final_h, trace.h[:, -1])
    np.testing.assert_array_equal(trace.final_c, trace.c[:, -1])


def exactly(x: Array, net: dict[str, Array], units: int) -> Array:
    """h of one row at every step, evaluated with 50 digits."""
    with mpmath.workdps(50):
        number = mpmath.mpf
        kernel = [[number(float(v)) for v in row] for row in net["kernel"]]
        bias = [number(float(v)) for v in net["bias"]]
        h = c = [number(0)] * units
        out = []
        for x_t in x:
            v = [number(float(n)) for n in x_t] + h
            z = [
                mpmath.fdot(v, [row[k] for row in kernel]) + bias[k]
                for k in range(4 * units)
            ]
            gate = [1 / (1 + mpmath.exp(-n)) for n in z]
            f = [1 / (1 + mpmath.exp(-n - 1)) for n in z[2 * units : 3 * units]]
            g = [mpmath.tanh(n) for n in z[units : 2 * units]]
            c = [f[u] * c[u] + gate[u] * g[u] for u in range(units)]
            h = [gate[3 * units + u] * mpmath.tanh(c[u]) for u in range(units)]
            out.append([float(n) for n in h])
        return np.array(out)


@pytest.mark.parametrize("seed", range(6))
def test_float64_is_within_2e_15_of_fifty_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, x = random_net(rng, 5, 7), rng.normal(size=(12, 5))
    assert np.abs(run(model_of(net), x, "h").h - exactly(x, net, 7)).max() < 2e-15


def test_float32_is_no_more_than_twice_as_far_off_as_a_plain_loop() -> None:
    ours, plain = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        net, x = (
            random_net(rng, 5, 7, np.float32),
            rng.normal(size=(12, 1, 5)).astype(np.float32),
        )
        truth = exactly(x[:, 0], net, 7)
        loop = outputs(Net(**net), x.swapaxes(0, 1), {}, dtype=np.float32)["h"][0]
        trace = run(model_of(net), x, "h", layout="time")
        assert loop.dtype == trace.h.dtype == np.float32
        plain.append(np.abs(loop - truth).max())
        ours.append(np.abs(trace.h[:, 0] - truth).max())
    assert np.median(ours) <= 2 * np.median(plain)
    assert max(ours) <= 2 * max(plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_values_keep_their_relative_precision(dtype: Any) -> None:
    net = {
        "kernel": np.zeros((2, 4), dtype),
        "bias": np.array([-30, 0.5, 0, -25], dtype),
    }
    h = run(model_of(net), np.ones((1, 1)), "h").h[0, 0]
    with mpmath.workdps(50):
        i, o = (1 / (1 + mpmath.exp(n)) for n in (30, 25))
        truth = float(o * mpmath.tanh(i * mpmath.tanh(0.5)))
    assert h == pytest.approx(truth, rel=8 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize(
    "setting", [{}, {"cell_clip": 3.0}, {"recurrent_activation": "hard_sigmoid_0.2"}]
)
def test_huge_inputs_warn_of_nothing(dtype: Any, setting: dict[str, Any]) -> None:
    net = random_net(np.random.default_rng(3), 2, 3, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace = run(
            model_of(net, **setting), np.array([[1e4, -1e4], [-1e4, 1e4]]), NAMES
        )
    assert trace.h.dtype == dtype
    assert np.isfinite(trace.h).all()


# ---- equal bit for bit


@settings(max_examples=40)
@given(
    st.integers(1, 40), st.sampled_from([1, 2, 17, 33, 70]), st.integers(1, 9), st.integers(1, 9),
    st.sampled_from([np.float32, np.float64]), st.integers(0, 99), st.data(),
)  # fmt: skip
def test_chunks_of_steps_equal_the_full_run(
    T: int, B: int, I: int, H: int, dtype: Any, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    model, x = model_of(random_net(rng, I, H, dtype)), rng.normal(size=(B, T, I))
    state = state_of(rng, B, H, dtype)
    whole = run(model, x, "h", initial_state=state)
    cut = data.draw(st.integers(0, T))
    pieces = []
    for piece in (x[:, :cut], x[:, cut:]):
        if piece.shape[1]:
            part = run(model, piece, "h", initial_state=state)
            state = {"h": part.final_h, "c": part.final_c}
            pieces.append(part.h)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole.h)
    np.testing.assert_array_equal(state["c"], whole.final_c)


@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
@pytest.mark.parametrize("setting", [{}, {"cell_clip": 0.4}])
def test_h_does_not_depend_on_which_arrays_are_returned(
    T: int, B: int, I: int, H: int, setting: dict[str, Any]
) -> None:
    rng = np.random.default_rng(B)
    model, x = (
        model_of(random_net(rng, I, H, np.float32), **setting),
        rng.normal(size=(B, T, I)),
    )
    alone = run(model, x, "h").h
    for keep in (("c", "h"), ("h", "f"), ("z", "h"), NAMES):
        np.testing.assert_array_equal(run(model, x, keep).h, alone)


@settings(max_examples=30)
@given(st.integers(2, 70), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_sequences_of_a_batch_are_independent(
    B: int, I: int, H: int, seed: int
) -> None:
    """To a few ULP: BLAS sums a single sequence in another order."""
    rng = np.random.default_rng(seed)
    model, x = model_of(random_net(rng, I, H)), rng.normal(size=(B, 6, I))
    whole, row = run(model, x, "h").h, int(rng.integers(B))
    np.testing.assert_allclose(
        run(model, x[row], "h").h, whole[row], rtol=0, atol=2e-14
    )


# ---- layouts, directions, lengths, states


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_equal_each_sequence_run_separately(reverse: bool) -> None:
    rng = np.random.default_rng(4)
    net, x, state = (
        random_net(rng, 4, 3),
        rng.normal(size=(4, 7, 4)),
        state_of(rng, 4, 3),
    )
    model, lengths = model_of(net, reverse=reverse), [7, 0, 5, 1]
    x[2, 5:] = np.nan  # what is past a length must not be seen
    trace = run(model, x, NAMES, lengths=lengths, initial_state=state)
    for row, length in enumerate(lengths):
        for array in trace.arrays.values():
            assert not array[row, length:].any()
        given = {k: v[row] for k, v in state.items()}
        if length == 0:
            np.testing.assert_array_equal(trace.final_c[row], given["c"])
            continue
        alone = run(model, x[row, :length], initial_state=given)
        np.testing.assert_allclose(trace.h[row, :length], alone.h, atol=1e-15)
        np.testing.assert_allclose(trace.final_c[row], alone.final_c, atol=1e-15)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(4), "One step of 4 inputs"),
        (np.zeros((7, 3)), "takes 4 inputs"),
        (np.zeros((4, 9)), "the axes of the file look exchanged"),
        (np.zeros((0, 4)), "nothing to run"),
        (np.zeros((2, 0, 4)), "nothing to run"),
        (np.zeros((1, 1, 2, 4)), "inputs are"),
        (np.zeros((7, 4), complex), "not numbers"),
    ],
)
def test_inputs_of_another_shape_are_refused(x: Array, message: str) -> None:
    model = model_of(random_net(np.random.default_rng(0), 4, 3))
    with pytest.raises(UserError, match=message):
        prepare(model, Inputs(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_state": {"h": np.zeros(3)}}, "lacks c"),
        (
            {"initial_state": {"h": np.zeros(4), "c": np.zeros(3)}},
            r"initial h is \(4,\)",
        ),
        ({"lengths": [3]}, "one for each sequence"),
        ({"lengths": [3.0, 9.0]}, "lengths 3,9 .* at most 9 steps"),
        ({"lengths": [[3, 5]]}, r"^lengths are a list .*, not an array \(1, 2\)"),
        ({"keep": ("q",)}, "no 'q'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    model = model_of(random_net(np.random.default_rng(0), 4, 3))
    with pytest.raises(UserError, match=message):
        run(model, np.zeros((2, 7, 4)), **arguments)


def test_a_state_that_is_reset_makes_each_step_a_first_one() -> None:
    rng = np.random.default_rng(8)
    net, x = random_net(rng, 4, 3), rng.normal(size=(2, 5, 4))
    reset, steps = (
        run(model_of(net, state="reset"), x),
        [run(model_of(net), x[:, [t]]) for t in range(5)],
    )
    np.testing.assert_allclose(
        reset.c, np.concatenate([s.c for s in steps], axis=1), atol=1e-15
    )
    np.testing.assert_array_equal(reset.final_h, reset.h[:, -1])


def test_past_a_length_is_zero_where_a_mask_repeats() -> None:
    """Keras repeats its output where a mask says so; a length is not Keras', and hides."""
    rng = np.random.default_rng(9)
    net, x = random_net(rng, 4, 3), rng.normal(size=(1, 5, 4))
    keras = model_of(net)
    how = keras.convention.with_behaviour(masked_output="repeat")
    keras = replace(keras, layers=((replace(keras.cell, convention=how),),))
    assert not run(keras, x, lengths=[2]).h[0, 2:].any()
    masked = run(keras, x, mask=np.array([[1, 1, 0, 0, 0]])).h[0]
    np.testing.assert_array_equal(masked[2:], np.broadcast_to(masked[1], (3, 3)))


def test_lengths_and_a_mask_at_once_are_refused() -> None:
    rng = np.random.default_rng(9)
    model, x = model_of(random_net(rng, 4, 3)), rng.normal(size=(1, 5, 4))
    with pytest.raises(UserError, match="lengths and a mask are both given"):
        run(model, x, lengths=[2], mask=np.array([[1, 1, 0, 0, 0]]))


@pytest.mark.parametrize("layout", ["batch", "steps"])
def test_cells_of_different_widths_are_continued_from_states_side_by_side(
    layout: str,
) -> None:
    rng = np.random.default_rng(10)
    below, above = (model_of(random_net(rng, I, H)) for I, H in ((4, 3), (3, 5)))
    both = replace(below, layers=below.layers + above.layers)
    x = rng.normal(size=(2, 7, 4) if layout == "batch" else (7, 4))
    whole, first = run(both, x), run(both, x[..., :3, :])
    assert first.final_h.shape == first.final_c.shape == (*x.shape[:-2], 3 + 5)
    np.testing.assert_array_equal(first.final_h[..., 3:], first.h[..., -1, :])
    state = {"h": first.final_h, "c": first.final_c}
    np.testing.assert_array_equal(
        run(both, x[..., 3:, :], initial_state=state).h, whole.h[..., 3:, :]
    )
    with pytest.raises(UserError, match="need"):
        run(
            both,
            x,
            initial_state={name: array[..., :-1] for name, array in state.items()},
        )


@pytest.mark.parametrize("name", ["cell_clip", "gate_clip", "forget_bias"])
def test_a_constant_beyond_the_range_of_the_dtype_is_infinite(name: str) -> None:
    rng = np.random.default_rng(13)
    net, x = random_net(rng, 4, 3), rng.normal(size=(2, 5, 4))
    half = {key: array.astype(np.float16) for key, array in net.items()}
    trace = run(model_of(half, **{name: 1e5}), x)
    assert trace.h.dtype == np.float16
    if name == "forget_bias":
        assert (trace.f == 1).all()
    else:
        np.testing.assert_allclose(trace.h, run(model_of(half), x).h, atol=2e-3)


def test_a_trace_of_final_states_has_no_number_of_steps() -> None:
    trace = run(
        model_of(random_net(np.random.default_rng(0), 4, 3)), np.zeros((5, 4)), keep=()
    )
    with pytest.raises(AttributeError, match="this trace has no 'steps'"):
        _ = trace.steps


def test_arrays_of_several_cells_are_named_where_one_is_asked_for() -> None:
    case = GOLDEN / "torch" / "two_layers"
    trace = run(f"{case}.weights.npz", held("torch/two_layers")["inputs"])
    with pytest.raises(
        AttributeError, match=r"no 'i'; its arrays are layer0\.i, layer1\.i$"
    ):
        _ = trace.i


# ---- saturated gates, counted from steps as they come


def arrays() -> dict[str, np.ndarray]:
    """Ten steps of two sequences of three units, gates at 0.5 but for what is set here."""
    rng = np.random.default_rng(0)
    made = {name: rng.uniform(0.1, 0.9, (10, 2, 3)) for name in ("i", "f", "o")}
    made["f"][:, :, 1] = 0.999
    made["i"][:7, :, 2] = 1e-4
    made["o"][:4, :, 0] = 1e-4  # less than half of the steps
    return made


def test_gates_saturated_in_most_steps_are_named_with_their_share() -> None:
    counts = Saturation()
    counts.add(arrays())
    assert counts.saturated_gates() == {("i", 0): [(2, 0.7)], ("f", 1): [(1, 1.0)]}
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
    for names, shares in ((("i", "f", "o", "h"), None), (("z_i",), {})):
        nothing = Saturation()
        nothing.add({k: np.zeros((3, 2, 1)) for k in names})
        assert not nothing.saturated_gates()
        assert shares is None or nothing.shares() == shares


def test_a_unit_may_be_near_both_ends_and_nan_is_near_none() -> None:
    counts = Saturation()
    gate = np.full((4, 1, 1), 0.0)
    gate[2:] = 1.0
    counts.add({"f": gate, "i": np.full((4, 1, 1), np.nan)})
    assert counts.saturated_gates() == {("f", 0): [(0, 0.5)], ("f", 1): [(0, 0.5)]}


def test_a_gate_is_saturated_within_a_hundredth_of_0_and_of_1() -> None:
    gates = np.array([0, 0.0099, 0.0101, 0.5, 0.9899, 0.9901, 1])
    assert is_saturated(gates).tolist() == [True, True, False, False, False, True, True]
    assert not is_saturated(np.array([np.nan])).any()
