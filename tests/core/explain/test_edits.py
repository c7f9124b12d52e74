"""Edits that `explain` names: EXPECTED is that of the small loop of `tests.core.forward`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.explain import edit_search
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CAUSES
from lstmcli.core.explain.clues import clues
from lstmcli.core.explain.edited_runs import EditedRuns
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.explain.observation import SINGLE, Expected, KnownValues
from lstmcli.core.explain.tries import Try
from lstmcli.core.explain.verify import compared
from lstmcli.core.explain.wording import text_of
from lstmcli.core.model import edits
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import HIDES
from tests.core.forward.test_edits import (
    NETWORKS,
    ROWS,
    TWO_BIASES,
    W2,
    B,
    H,
    N,
    T,
    W,
    Weights,
    X,
    changed,
    lstm,
    put,
    random_weights,
    s,
    stored,
    tensors,
)

RNG = np.random.default_rng(83)


def asked(expected: Array, weights: Any = None, **how: Any) -> Explanation:
    weights = tensors(W) if weights is None else weights
    return lstmcli.explain(weights, X, expected, layout="time", **how)


def texts(found: Explanation) -> set[str]:
    """The edits found, and those that are the same run."""
    others = (change.found for changes in found.equivalent for change in changes)
    return {*found.edits, *others}


def gives(found: Explanation, expected: Array, weights: Any = None) -> None:
    """Run the answer: it gives EXPECTED."""
    model = lstmcli.load(weights or tensors(W), **found.settings, edits=[*found.edits])
    np.testing.assert_allclose(lstmcli.run(model, X).h, expected, atol=2e-5)
    assert [c.setting for c in found.changes][: len(found.edits)] == ["edit"] * len(
        found.edits
    )
    assert "edit" not in found.settings
    assert all(f"--edit {text}" in found.command for text in found.edits)


NAMED = (
    "inputs.late=2", "inputs.rolled=1", "inputs.features=2,0,1", "inputs.factor=0.5",
    "inputs.normalised=standard_feature", "inputs.step=5,4", "state.start=ones",
    "state.zero_steps=2", "state.previous", "state.passed=swapped", "weights.bias.o=0",
    "weights.kernel.o=0", "weights.recurrent.g=o", "weights.kernel.number=f,1,2,0.25",
    "weights.recurrent.column=1,0", "weights.exchanged", "weights.int8=gate", "weights.decimals=2",
    "equations.h=old_c", "equations.c=i_of_all", "equations.sigmoid.i=identity",
    "equations.approximated=lambert", "equations.sigmoid_slope=1.7",
    "equations.layer_norm=0.001", "equations.zoneout=0.2", "equations.h_clip=0.2",
    "outputs.residual", "outputs.applied=relu", "outputs.factor=-2", "inputs.decimals=1",
    "inputs.grid=0.0625", "inputs.smoothed=3", "inputs.differenced", "inputs.resampled=2",
    "inputs.reshaped=time_first", "equations.approximated=nam", "equations.tanh.g=swish",
    "equations.order=in_place", "equations.c_wrap=0.5", "equations.clip.o=0.5",
    "units.computed=2",
)  # fmt: skip


@pytest.mark.sampled(15)
@pytest.mark.parametrize("text", NAMED)
def test_an_edit_is_named_by_all_steps(text: str) -> None:
    expected = ROWS[text]()
    found = asked(expected.astype(np.float32))
    assert found.verdict == "found"
    assert text in texts(found)
    gives(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["weights.bias.o=0", "equations.zoneout=0.2", "outputs.clip=0.1"]
)
def test_an_edit_is_named_by_a_print_and_by_the_last_state(text: str) -> None:
    expected = ROWS[text]()
    assert text in texts(asked(np.round(expected, 6)))
    x = np.concatenate([X, RNG.normal(size=(T, 6, X.shape[2]))], axis=1)
    last = lstmcli.run(tensors(W), x, "h", layout="time", edits=[text]).h[-1]
    found = lstmcli.explain(tensors(W), x, last.astype(np.float32), layout="time")
    assert text in texts(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "layer0.weights.bias.o=0", "layer1.equations.h=tanh_of_oc", "weights.layers=1,0",
        "layer0_reverse.weights.bias.i=0",  # the other direction is right
    ],
)  # fmt: skip
def test_an_edit_of_one_layer_is_named(text: str) -> None:
    weights, expected = NETWORKS[text]
    found = asked(expected().astype(np.float32), weights)
    assert found.edits == (text,)
    gives(found, expected(), weights)


@pytest.mark.slow
def test_an_edit_together_with_a_setting_is_found() -> None:
    expected = lstm(w=changed(b=put(3, value=0)), gate={"f": lambda z: s(z + 1)}).h
    found = asked(expected.astype(np.float32))
    assert {change.setting for change in found.changes} == {"edit", "forget_bias"}
    assert found.settings["forget_bias"] == 1
    gives(found, expected)


@pytest.mark.parametrize(
    ("edits", "change"),
    [
        (("weights.bias.i=o", "weights.bias.f=o"), {"b": put([0, 1], value=W["b"][3])}),
        (("weights.kernel.i=g", "weights.kernel.o=0"), {
            "K": lambda K: K[[2, 1, 2, 3]] * np.array([1, 1, 1, 0])[:, None, None]}),
    ],
)  # fmt: skip
def test_two_gates_that_are_wrong_are_named(
    edits: tuple[str, ...], change: dict[str, Any]
) -> None:
    expected = lstm(w=changed(**change)).h
    found = asked(expected.astype(np.float32))
    assert found.edits == edits
    gives(found, expected)


def test_inputs_of_one_feature_have_no_other_order() -> None:
    w, x = random_weights(1, 4), RNG.normal(size=(T, B, 1))
    expected = lstm(x, w).h + RNG.normal(size=(T, B, 4))
    assert lstmcli.explain(tensors(w), x, expected, layout="time").verdict == "none"


def test_numbers_that_are_solved_for_have_few_digits() -> None:
    found = asked(lstm(X * 0.37).h.astype(np.float32))
    assert "inputs.factor=0.37" in found.edits
    wide = random_weights(N, 6)  # more units than inputs
    for x, named in (
        (
            X * [0.5, 1, 2] + [0, 0.25, 0],
            ("inputs.factor=0.5,1,2", "inputs.offset=0,0.25,0"),
        ),
        (X * 2 - 1, ("inputs.factor=2", "inputs.offset=-1")),
    ):
        assert asked(lstm(x, wide).h.astype(np.float32), tensors(wide)).edits == named


SOLVED: dict[str, Callable[[], Array]] = {
    "state.array": lambda: lstm(h=X[0] * 0.3, c=X[1]).h,
    "outputs.mask": lambda: lstm().h * (X > -0.5) * 2,
    "outputs.dense": lambda: lstm().h @ W["K"][0] + 0.5,
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SOLVED)
def test_an_edit_of_many_numbers_has_arrays_for_its_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = SOLVED[name]()
    found = asked(expected.astype(np.float32))
    ((file, arrays),) = found.arrays.items()
    assert found.edits == (f"{name}=@{file}",)
    assert f'numpy.savez("{file}"' in found.next
    monkeypatch.chdir(tmp_path)
    np.savez(file, **arrays)  # type: ignore[arg-type]
    gives(found, expected)


FALSE: dict[str, Callable[[], Array]] = {
    "noise": lambda: lstm().h + RNG.normal(size=(T, B, H)) * 1e-2,
    "another checkpoint": lambda: (
        lstm(w={k: a + 0.1 * RNG.normal(size=a.shape) for k, a in W.items()}).h
    ),
    "numbers": lambda: np.tanh(RNG.normal(size=(T, B, H))),
    "means so far": lambda: np.array(
        [lstm().h[: t + 1].mean(axis=0) for t in range(T)]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FALSE)
def test_nothing_is_named_that_is_not_an_edit(what: str) -> None:
    found = asked(FALSE[what]().astype(np.float32))
    assert found.verdict == "none"
    assert not found.edits


@pytest.mark.slow
def test_any_order_of_features_is_found() -> None:
    order, x = RNG.permutation(8), RNG.normal(size=(T, B, 8))
    w = random_weights(8, 8)
    expected = lstm(x[..., order], w).h.astype(np.float32)
    found = lstmcli.explain(tensors(w), x, expected, layout="time")
    assert found.edits == (f"inputs.features={','.join(map(str, order))}",)


@pytest.mark.slow
def test_a_setting_is_the_answer_where_it_is_one() -> None:
    found = asked(lstm(gate={"f": lambda z: s(z + 1)}).h.astype(np.float32))
    assert [change.setting for change in found.changes] == ["forget_bias"]
    both = asked(lstm(w=changed(b=lambda b: 2 * b), gate={"f": lambda z: s(z + 1)}).h)
    assert {change.setting for change in both.changes} == {"bias", "forget_bias"}
    assert "weights.bias.factor=2" in texts(both)


@pytest.mark.slow
def test_every_edit_that_is_the_same_run_as_a_setting_is_declared() -> None:
    def runs(**how: Any) -> Array | None:
        try:
            return lstmcli.run(weights, x, "h", layout="time", **how).h
        except (lstmcli.UserError, TypeError):  # not a setting of this run
            return None

    rng = np.random.default_rng(83)  # the same numbers in whatever order tests run
    drawn = {name: rng.normal(size=a.shape) for name, a in random_weights(4, 4).items()}
    weights, x = tensors(drawn), rng.normal(size=(6, 2, 4))
    model = lstmcli.load(weights)
    plain = lstmcli.run(model, x, "h", layout="time").h
    assert np.abs(lstmcli.run(model, x, "c", layout="time").c).max() > 1
    settings = {
        (cause.setting, value, *alone): h
        for cause in CAUSES.values()
        for value in cause.values
        for alone in ({}, {"output_activation": "tanh"})  # of the candidate alone
        if (h := runs(**{**alone, cause.setting: value})) is not None
        and not np.allclose(h, plain)
    }
    assert len(settings) > 100
    same, declared = set(), set()
    for kind in edits.EDITS.values():
        for value in kind.values_for(
            edits.RunSizes(model, model.cell, len(x), range(len(x)))
        ):
            h = runs(edits=[edits.Edit(kind.name, value)])
            for (setting, *_), other in settings.items():
                if (
                    h is not None
                    and h.shape == other.shape
                    and np.allclose(h, other, atol=1e-7)
                ):
                    same.add((kind.name, value, setting))
        declared |= {
            (kind.name, value, setting) for value, (setting, _) in kind.same.items()
        }
    assert same == declared


@pytest.mark.slow
def test_edits_that_are_given_are_kept() -> None:
    expected = lstm(X / 2, changed(b=put(3, value=0))).h
    found = asked(expected.astype(np.float32), edits=["inputs.factor=0.5"])
    assert found.edits == ("weights.bias.o=0",)
    assert "--edit inputs.factor=0.5 --edit weights.bias.o=0" in found.command


def test_a_new_edit_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(
        edits.EDITS["inputs.factor"], name="inputs.cubed", function=lambda x, _: x**3,
        words="inputs cubed", code="x = x ** 3", read=edits.NO_VALUE, values=(edits.FLAG,),
        solved=None,
    )  # fmt: skip
    monkeypatch.setitem(edits.EDITS, "inputs.cubed", row)
    found = asked(lstm(X**3).h.astype(np.float32))
    assert found.edits == ("inputs.cubed",)
    assert found.changes[0].text == "inputs cubed"
    gives(found, lstm(X**3).h)


@pytest.mark.parametrize("width", [2, H + 2])
@pytest.mark.parametrize("part", [slice(None), -1], ids=["steps", "last"])
def test_a_setting_is_found_before_a_head_of_another_width(
    width: int, part: Any, tmp_path: Path
) -> None:
    head = {"weights": RNG.normal(size=(H, width)), "bias": RNG.normal(size=width)}
    np.savez(tmp_path / "head.npz", **head)  # type: ignore[arg-type]
    edits = [f"outputs.dense=@{tmp_path / 'head.npz'}"]
    for gate, changes in ({}, []), ({"f": lambda z: s(z + 1)}, ["forget_bias"]):
        expected = lstm(gate=gate).h @ head["weights"] + head["bias"]
        found = asked(expected[part].astype(np.float32), edits=edits)
        assert [change.setting for change in found.changes] == changes
        assert found.found
        assert not any(note.startswith("As units") for note in found.notes)


def test_a_head_that_no_run_takes_is_refused_before_the_search(tmp_path: Path) -> None:
    both = tensors(W) | {f"{k}_reverse": a for k, a in tensors(W2).items()}
    np.savez(tmp_path / "head.npz", weights=np.ones((2 * H, 2)), bias=np.ones(2))
    tried: list[str] = []
    with pytest.raises(lstmcli.UserError, match="does not fit"):
        asked(
            np.ones((T, B, 2)),
            both,
            edits=[f"outputs.dense=@{tmp_path / 'head.npz'}"],
            progress=lambda share, what: tried.append(what),
        )
    assert {*tried} <= {"weights as loaded"}


def test_features_that_are_not_used_are_named() -> None:
    w, x = random_weights(6, 8), RNG.normal(size=(T, B, 6))
    used = np.array([1, 1, 0, 1, 0, 0])
    found = lstmcli.explain(
        tensors(w), x, lstm(x * used, w).h.astype(np.float32), layout="time"
    )
    assert found.edits == ("inputs.factor=1,1,0,1,0,0",)
    assert found.changes[0].text == "inputs 2, 4, 5 are not used"
    assert found.notes[0].startswith("In code: x[..., [2, 4, 5]] = 0.")


@pytest.mark.parametrize("rounding", ["fixed.summed=8", "decimals.summed=2"])
def test_the_sum_of_both_biases_is_rounded(rounding: str) -> None:
    model = lstmcli.load(TWO_BIASES)  # kernels alone are as stored
    name, _, digits = rounding.partition("=")
    step = 10.0 ** -int(digits) if name.startswith("decimals") else 2.0 ** -int(digits)
    expected = lstm(w=stored(lambda a: np.round(a / step) * step)).h
    assert np.abs(lstmcli.run(model, X, "h", layout="time").h - expected).max() > 1e-4
    found = asked(expected.astype(np.float32), TWO_BIASES)
    assert f"weights.{rounding}" in texts(found)
    assert f"weights.{rounding.replace('.summed', '')}" not in texts(found)


def test_a_plain_matrix_is_reshaped_where_the_file_scrambles_blocks() -> None:
    """A port that has Keras' own matrices of a CuDNNLSTM, and reshapes one of them."""

    def scrambled(matrix: Array) -> Array:
        blocks = np.split(matrix, 4, axis=1)
        return np.concatenate([b.T.reshape(b.shape) for b in blocks], axis=1)

    plain = {n: np.concatenate(W[n][[0, 1, 2, 3]], axis=1) for n in "KR"}
    bias = W["b"].reshape(-1)
    file = {
        "kernel": scrambled(plain["K"]),
        "recurrent_kernel": scrambled(plain["R"]),
        "bias": np.concatenate([bias, 0 * bias]),
    }
    R = plain["R"].reshape(4 * H, H).T  # (H, 4H)
    expected = lstm(w={**W, "R": R.reshape(H, 4, H).swapaxes(0, 1)}).h
    found = asked(expected.astype(np.float32), file, convention="cudnnlstm")
    assert found.edits == ("weights.reshaped=recurrent",)


def test_each_family_of_edits_is_tried_before_the_budget_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = random_weights(N, H), random_weights(2 * H, H)
    weights = tensors(*layers)
    weights |= {f"{name}_reverse": array for name, array in weights.items()}
    tried: list[edits.Edit] = []

    def answer_of(runs: EditedRuns, hypothesis: Try) -> None:
        tried.extend(hypothesis.edits)
        runs.work.add(5e3)

    monkeypatch.setattr(edit_search, "answer_of", answer_of)
    monkeypatch.setattr(Budget, "EDITS", 0.01)
    found = asked(np.tanh(RNG.normal(size=(T, B, 2 * H))), weights)
    texts = [edit.text for edit in tried]
    of_layers = texts.index("inputs.late=1")  # the first of those that have their turns
    assert of_layers < 15
    families = [edit.kind.family for edit in tried[of_layers:]]
    apply = {*HIDES} - {"head", "front"}  # of models that have one
    seventh = min(
        [n for n, one in enumerate(families) if one == family][6]
        for family in apply
        if families.count(family) > 6
    )
    assert {*families[:seventh]} == apply
    assert texts.index("weights.directions=forward") < 100
    (left,) = (text for text in found.not_tried if "the budget ended after" in text)
    assert left.startswith("edits of further ")


@pytest.mark.parametrize(
    ("zeros", "words"),
    [
        ("units", "in units 3 to 4 all of EXPECTED is 0, and the run is not"),
        ("table", "all where the run is within"),
        ("steps", "none, at steps 4, 7. Is there dropout"),
    ],
)
def test_exact_zeros_are_placed(zeros: str, words: str) -> None:
    run = np.tanh(RNG.normal(size=(9, B, 5)))
    h = run + 1e-2
    if zeros == "units":
        h[..., 3:] = 0
    elif zeros == "table":
        h[np.abs(run) < 0.2] = 0
    else:
        h[[4, 7], :, :4] = 0
    expected = Expected({"h": KnownValues(h, np.zeros(h.shape))})
    (hint,) = clues(compared({"h": run}, expected, SINGLE))
    assert words in text_of(hint)


def float32_port(
    x: Array, w: Weights, chunk: int, tanh: Callable[[Array], Array] = np.tanh
) -> Array:
    """A program in float32, with one product of inputs and h, that begins anew every chunk."""
    single = {n: a.astype(np.float32) for n, a in w.items()}
    units = single["b"].shape[1]
    matrix = np.concatenate([single["K"], single["R"]], axis=1)
    out = []
    for t, x_t in enumerate(x.astype(np.float32)):
        if t % chunk == 0:
            h = c = np.zeros((x.shape[1], units), np.float32)
        z = np.concatenate([x_t, h], axis=1) @ matrix + single["b"][:, None]
        i, f, o = (
            np.float32(0.5) * tanh(z[k] / 2) + np.float32(0.5) for k in (0, 1, 3)
        )
        c = f * c + i * tanh(z[2])
        h = o * tanh(c)
        out.append(h)
    return np.array(out)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3, 7])
def test_chunks_are_found_where_rounding_grows_before_they_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = {
        n: rng.normal(size=(4, *of, 64)[: 2 + len(of)]) * 0.7
        for n, of in {"K": (8,), "R": (64,), "b": ()}.items()
    }
    w = {n: a.astype(np.float32) for n, a in w.items()}
    x = rng.normal(size=(100, B, 8)).astype(np.float32)
    port = float32_port(x, w, 16)
    model = lstmcli.load(tensors(w), edits=["state.chunks=16"])
    own = lstmcli.run(model, x, "h", layout="time").h
    off = float32_port(x, w, len(x))[:16] - lstm(x[:16].astype(float), w).h
    assert np.abs(off).max() > 2e-6  # more than float32 is allowed without growth
    for expected in (port, own):
        found = lstmcli.explain(tensors(w), x, expected, layout="time")
        assert found.edits == ("state.chunks=16",)


@pytest.mark.slow
def test_a_table_is_found_whose_index_jumps_with_rounding() -> None:
    def table(x: Array) -> Any:
        index = np.floor((x + np.float32(8)) * 16)
        return np.where(np.abs(x) < 8, np.tanh(index / 16 - 8), np.sign(x)).astype(
            x.dtype
        )

    for seed in range(40):
        rng = np.random.default_rng(seed)
        w = {
            n: rng.uniform(-0.9, 0.9, size=a.shape).astype(np.float32)
            for n, a in random_weights(8, 32).items()
        }
        x = rng.normal(size=(60, B, 8)).astype(np.float32)
        text = "equations.approximated=table_256_8_cut"
        model = lstmcli.load(tensors(w), edits=[text])
        own = lstmcli.run(model, x, "h", layout="time").h
        exact = lstmcli.load(tensors(w), edits=[text], dtype="float64")
        off = np.abs(lstmcli.run(exact, x, "h", layout="time").h - own)
        if 0.1 < (off > 1e-4).mean() < 0.6:
            break
    assert np.abs(float32_port(x, w, 1 << 30, table)[0] - own[0]).max() < 1e-5
    found = lstmcli.explain(tensors(w), x, own, layout="time")
    assert text in texts(found)
