"""`lstm check` without a framework: engines that are our own loop, right or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.check import BATCH, STEPS, Check
from lstmcli.api.check import check_job as check
from lstmcli.api.job import Job
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Cell, Inputs, Model
from lstmcli.engines.engine import Network, Prepared, Result
from lstmcli.errors import UserError
from tests.conformance.grid import KINDS
from tests.engines.fake import broken, fake, forgetful, install, prepared


def job(kind: str = "initial state", **changes: Any) -> Job:
    one = KINDS[kind]
    model = one.model()
    given = one.run_of(model)
    inputs = Inputs(given["x"], None, given.get("initial_state", {}), name="x.npy")
    return Job(model, replace(inputs, **changes))


def refusing(network: Network) -> Iterator[str]:
    yield "a thing"


def test_a_right_engine_agrees_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake())
    found = check(job(), ["torch"])
    assert found.equal
    told = found.to_json()
    (row,) = told["engines"]
    assert list(row) == [
        "name", "version", "equal", "max_abs", "max_rel", "max_ulp", "float64_abs", "differs_in",
        "within_rounding", "truth_abs", "seconds",
    ]  # fmt: skip
    assert (row["name"], row["equal"]) == ("torch", True)
    assert row["max_abs"] == row["max_rel"] == row["max_ulp"] == 0
    assert row["truth_abs"] == told["ours"]["truth_abs"] > 0
    assert row["seconds"] > 0
    assert told["nearest"] == ["ours", "torch"]
    assert told["seed"] is None


def test_a_wrong_engine_is_reported_with_its_first_mismatch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, fake(fault=forgetful), fake("jax"))
    found = check(job(), ["torch", "jax"])
    told = found.to_json()
    assert [row["equal"] for row in told["engines"]] == [False, True]
    assert told["first_divergence"]["torch"]["step"] == 0
    assert told["engines"][0]["max_abs"] > 1e-2
    assert told["nearest"] == ["ours", "jax"]


def test_check_continues_where_explain_rejects_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explain(*given: Any) -> Any:
        raise UserError("not of this kind")

    monkeypatch.setattr("lstmcli.api.check.explain", explain)
    install(monkeypatch, fake(fault=forgetful))
    one = job()
    found = check(replace(one, reread=lambda settings: one.model), ["torch"])
    assert found.findings == {}
    assert found.rows[0].notes == (
        "explain cannot search for the cause: not of this kind",
    )


def test_the_truth_is_the_same_run_in_longdouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, fake())
    one = job()
    cell = one.model.cell
    wide = {
        name: getattr(cell, name).astype(np.longdouble)
        for name in ("kernel", "recurrent_kernel", "bias")
    }
    model = replace(one.model, layers=((replace(cell, **wide),),))
    state = {
        k: np.asarray(a).astype(np.float32) for k, a in one.inputs.initial_state.items()
    }
    exact = run(model, np.asarray(one.inputs.x), layout="time", initial_state=state)
    ours = run(one.model, np.asarray(one.inputs.x), layout="time", initial_state=state)
    assert exact.h.dtype == np.longdouble
    expected = max(
        float(np.abs(getattr(ours, k) - getattr(exact, k)).max())
        for k in ("h", "final_h", "final_c")
    )
    assert check(one, ["torch"]).truth_abs == expected


def test_without_a_wider_longdouble_there_are_no_errors_against_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lstmcli.api.check.np.longdouble", np.float32)
    install(monkeypatch, fake())
    told = check(job(), ["torch"]).to_json()
    assert told["engines"][0]["truth_abs"] is None
    assert told["nearest"] == []


@pytest.mark.parametrize(
    "kind", ["initial state", "2 layers, 2 directions", "directions stacked"]
)
def test_inputs_and_a_state_are_drawn_from_the_seed(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    install(monkeypatch, fake())
    bare = job(kind, x=np.empty(0), name="", initial_state={})
    first, again, other = (check(bare, ["torch"], seed=seed) for seed in (3, 3, 4))
    x, more = (np.asarray(one.job.inputs.x) for one in (first, other))
    assert x.shape == (STEPS, BATCH, bare.model.cell.inputs)
    np.testing.assert_array_equal(x, np.asarray(again.job.inputs.x))
    assert (x != more).all()
    assert all(np.all(a != 0) for a in first.job.inputs.initial_state.values())
    assert first.equal
    assert first.to_json()["seed"] == 3


def test_states_have_the_axes_of_the_convention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, fake())
    cell = KINDS["initial state"].model().cell
    for name in ("openvino", "coreml"):  # states (B, D, H), and (B, D H)
        ways = tuple(replace(cell, convention=CONVENTIONS[name]) for _ in "fb")
        model = Model((ways,), {})
        assert check(Job(model, Inputs(np.empty(0), name="")), ["torch"]).equal


def test_nothing_runs_before_all_engines_can(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake(fault=broken), fake("jax", unsupported=refusing))
    with pytest.raises(UserError, match=r"^jax \(a loop\) cannot run a thing\.$"):
        check(job(), ["torch", "jax"])
    with pytest.raises(
        UserError, match=r"^keras is not installed:\n  \S+ -m pip install 'keras>="
    ):
        check(job(), ["torch", "keras"])


def test_all_takes_the_installed_and_leaves_out_those_that_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, fake(), fake("jax", unsupported=refusing))
    found = check(job(), ["all"])
    assert [row.engine.name for row in found.rows] == ["torch"]
    assert found.refused == {"jax": "jax (a loop) cannot run a thing."}
    install(monkeypatch, fake("jax", unsupported=refusing))
    with pytest.raises(UserError, match="cannot run a thing"):
        check(job(), ["all"])
    install(monkeypatch)
    with pytest.raises(
        UserError,
        match=r"any of these is one:\n  \S+ -m pip install 'torch>=[^\n]*\n  \S+ -m pip install",
    ):
        check(job(), ["all"])


# ---- rounding, and float64


def cancelling() -> Job:
    """A network whose pre-activations are small sums of large products: float32 is off by 1e-3."""
    rng = np.random.default_rng(3)
    balanced = rng.normal(size=(4, 16, 32))
    balanced -= balanced.mean(axis=2, keepdims=True)
    drawn = (balanced, rng.normal(size=(4, 16, 16)), rng.normal(size=(4, 16)))
    kernel, recurrent, bias = (a.astype(np.float32) for a in drawn)
    cell = Cell(kernel, recurrent, bias, CONVENTIONS["pytorch"])
    x = (1e4 + rng.normal(size=(40, 32))).astype(np.float32)
    return Job(Model(((cell,),), {"kernel": (64, 32)}), Inputs(x, name="x.npy"))


def summed_one_by_one(network: Network) -> Prepared:
    """A plain LSTM that adds its products one after the other, in the dtype of the network."""
    kernel, recurrent, bias = (
        getattr(network.cell, name) for name in ("kernel", "recurrent_kernel", "bias")
    )

    def one_by_one(products: Array) -> Array:
        total = np.zeros_like(products[..., 0])
        for n in range(products.shape[-1]):
            total = total + products[..., n]
        return total

    def sigmoid(z: Array) -> Array:
        return 1 / (1 + np.exp(-z))

    def go() -> Result:
        (h, c), outputs = network.states[0], []
        for x in network.x:
            i, f, g, o = (
                one_by_one(x[:, None] * kernel[n])
                + one_by_one(h[:, None] * recurrent[n])
                + bias[n]
                for n in range(4)
            )
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        return Result(np.stack(outputs), [(h, c)])

    return go


def test_rounding_in_a_network_is_not_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, replace(fake(dtypes=("float32",)), prepare=summed_one_by_one))
    (row,) = check(cancelling(), ["torch"]).to_json()["engines"]
    assert row["max_abs"] > 1e-3 > row["max_abs"] / 100
    assert row["equal"]
    assert row["within_rounding"]
    assert row["float64_abs"] is None
    (row,) = check(cancelling(), ["torch"], rtol=1.3e-6, atol=1e-5).to_json()["engines"]
    assert not row["equal"]  # the tolerance that was asked for, and nothing else


def test_more_than_4_times_the_rounding_of_the_run_is_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = cancelling()
    own = check_of(monkeypatch, one, 0.0).truth_abs
    assert own is not None
    cell = replace(
        one.model.cell,
        kernel=np.zeros_like(one.model.cell.kernel),
        recurrent_kernel=np.zeros_like(one.model.cell.recurrent_kernel),
    )
    assert check_of(monkeypatch, one, 2 * own).equal
    assert not check_of(monkeypatch, one, 5 * own).equal
    exact = replace(
        one, model=replace(one.model, layers=((cell,),))
    )  # hardly rounds at all
    assert not check_of(monkeypatch, exact, 2 * own).equal


def check_of(monkeypatch: pytest.MonkeyPatch, one: Job, off: float) -> Check:
    """The check of an engine whose h is ours, a little less everywhere."""

    def prepare(network: Network) -> Prepared:
        ours = prepared(network)()
        return lambda: replace(ours, h=ours.h - np.float32(off))

    install(monkeypatch, replace(fake(dtypes=("float32",)), prepare=prepare))
    return check(one, ["torch"])


def test_an_engine_with_float64_is_asked_in_float64_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def a_little_off(network: Network) -> Network:
        cell = replace(
            network.cell, bias=network.cell.bias + network.cell.dtype.type(2e-6)
        )
        return replace(network, layers=((cell,),))

    install(
        monkeypatch, fake(fault=a_little_off), fake("jax", a_little_off, dtypes=("float32",)),
        fake("keras", a_little_off, all_in_float64=lambda: False),
    )  # fmt: skip
    found = check(job(), ["torch", "jax", "keras"])
    wide, *narrow = found.to_json()["engines"]
    assert wide["float64_abs"] > 1e-7  # the tolerance in float64
    assert (wide["differs_in"], wide["equal"]) == ("float64", False)
    for row in narrow:
        assert row["max_abs"] == wide["max_abs"] < 1e-5  # and in float32
        assert (row["differs_in"], row["equal"], row["float64_abs"]) == (
            None,
            True,
            None,
        )
    assert list(found.to_json()["first_divergence"]) == ["torch"]


def test_the_same_nan_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake())
    x = np.array(job().inputs.x)
    x[2, 1, 0] = np.nan
    found = check(job(x=x), ["torch"])
    assert found.equal
    assert found.truth_abs is not None
    assert np.isfinite(found.truth_abs)
