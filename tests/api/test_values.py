"""Values passed by callers: paths, arrays, dicts of arrays; anything else says what to pass."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.cli import COMMANDS
from tests.core.explain.reference import Net, outputs
from tests.paths import TOP

SAMPLE = TOP / "samples" / "forget-bias"
WEIGHTS, INPUTS, TEXT = (
    SAMPLE / name for name in ("weights.npz", "inputs.npy", "numpy.txt")
)


class Tensor:
    """A tensor that requires a gradient, as PyTorch has it: NumPy gets it once it is detached."""

    def __init__(self, values: Any, attached: bool = True) -> None:
        self.values, self.attached, self.shape = values, attached, np.shape(values)

    def detach(self) -> Tensor:
        return Tensor(self.values, attached=False)

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return np.asarray(self.values, dtype)


def arrays() -> dict[str, Any]:
    with np.load(WEIGHTS) as file:
        return dict(file)


def wanted() -> Any:
    """h of the sample by the equations."""
    return outputs(Net(*arrays().values()), np.load(INPUTS), {})["h"]


@pytest.mark.parametrize(
    "weights",
    [str(WEIGHTS), WEIGHTS, [WEIGHTS], arrays(), [{k: v} for k, v in arrays().items()],
     {k: v.tolist() for k, v in arrays().items()}, {k: Tensor(v) for k, v in arrays().items()}],
    ids=["str", "path", "list", "dict", "dicts", "lists", "tensors"],
)  # fmt: skip
@pytest.mark.parametrize(
    "x", [str(INPUTS), INPUTS, np.load(INPUTS), np.load(INPUTS).tolist()]
)
def test_run_takes_weights_and_inputs_of_every_kind(weights: Any, x: Any) -> None:
    np.testing.assert_allclose(lstmcli.run(weights, x).h, wanted(), atol=1e-6)
    several = weights if isinstance(weights, list) else [weights]
    np.testing.assert_allclose(
        lstmcli.run(lstmcli.load(*several), x).h, wanted(), atol=1e-6
    )


def test_settings_are_keywords_or_members_of_the_dict() -> None:
    x = np.load(INPUTS)
    without = lstmcli.run(WEIGHTS, x, forget_bias=0.0)
    assert without.settings["forget_bias"] == 0
    assert np.abs(without.h - wanted()).max() > 0.01
    for given in (
        lstmcli.run({**arrays(), "forget_bias": 0.0}, x),
        lstmcli.run(lstmcli.load(arrays(), forget_bias=0.0), x),
    ):
        np.testing.assert_array_equal(given.h, without.h)


def test_inputs_and_states_may_be_in_the_weights() -> None:
    x = np.load(INPUTS)
    state = {"h": np.full((1, 3), 0.5), "c": np.full((1, 3), -0.5)}
    whole = {**arrays(), "inputs": x, "initial_state": state}
    trace = lstmcli.run(whole)
    np.testing.assert_array_equal(
        trace.h, lstmcli.run(WEIGHTS, x, initial_state=state).h
    )
    assert np.abs(trace.h - wanted()).max() > 0.01


def test_the_other_functions_take_the_same() -> None:
    x = np.load(INPUTS)
    trace = lstmcli.run(WEIGHTS, x)
    assert lstmcli.diff(trace, {"h": trace.h, "c": trace.c}).equal
    assert lstmcli.diff({"out": trace.h}, trace.h.tolist()).equal
    assert not lstmcli.diff(Path(SAMPLE / "numpy.txt"), trace, steps="1:").equal
    assert lstmcli.diff(SAMPLE / "numpy.txt", trace, only="h", steps=0).equal
    assert py.diff(SAMPLE / "numpy.txt", trace, only="h", steps=np.int64(0)).equal
    line = lstmcli.derive(WEIGHTS, INPUTS, 1, 0, "f").line("h")
    assert float(line.value) == trace.h[0, 1, 0]
    for weights, words in ((WEIGHTS, str(WEIGHTS)), (arrays(), "WEIGHTS")):
        found = lstmcli.explain(weights, x, SAMPLE / "numpy.txt")
        assert found.settings["forget_bias"] == 0
        assert found.command == f"lstm run {words} INPUTS --forget-bias 0"


def test_arrays_in_order_are_weights() -> None:
    """Keras' ``get_weights()``: kernel, recurrent kernel and bias, gates i f g o."""
    rng = np.random.default_rng(2)
    kernel, recurrent, bias = order = [
        rng.normal(size=s) for s in ((4, 12), (3, 12), (12,))
    ]
    (x,) = np.load(INPUTS)
    net = Net(np.concatenate([kernel, recurrent]), bias)
    (rows,) = outputs(net, x[None], {"gates": "ifgo", "forget_bias": 0.0})["h"]
    for weights in (order, tuple(order), [order], [Tensor(a) for a in order]):
        np.testing.assert_allclose(py.run(weights, x).h, rows, atol=1e-12)
    np.testing.assert_allclose(py.run(py.load(order), x).h, rows, atol=1e-12)
    assert py.explain(order, x, np.array(rows)).verdict == "agrees"


@pytest.mark.parametrize("weights", [WEIGHTS, arrays()], ids=["path", "dict"])
def test_explain_takes_a_model(weights: Any) -> None:
    x = np.load(INPUTS)
    found = lstmcli.explain(lstmcli.load(weights), x, TEXT)
    assert found.settings["forget_bias"] == 0
    assert found.command == "lstm run WEIGHTS INPUTS --forget-bias 0"
    settled = lstmcli.explain(lstmcli.load(weights, forget_bias=0.0), x, TEXT)
    assert settled.verdict == "agrees"
    assert settled.command == found.command


def test_a_model_that_is_not_what_its_weights_are_is_not_explained(
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "w.npz", **arrays())
    model = lstmcli.load(tmp_path / "w.npz")
    np.savez(tmp_path / "w.npz", **{k: 2 * a for k, a in arrays().items()})
    with pytest.raises(
        lstmcli.UserError, match=r"w\.npz changed since the model was loaded"
    ):
        lstmcli.explain(model, INPUTS, TEXT)
    with pytest.raises(lstmcli.UserError, match="takes a model that load made"):
        lstmcli.explain(lstmcli.Model(model.layers, model.tensors), INPUTS, TEXT)


def test_a_state_may_be_a_path(tmp_path: Path) -> None:
    state = {"h": np.full((1, 3), 0.5), "c": np.full((1, 3), -0.5)}
    np.savez(tmp_path / "state.npz", h=state["h"], c=state["c"])
    for model in (lstmcli.load(WEIGHTS), WEIGHTS):
        one, other = (
            lstmcli.run(model, INPUTS, initial_state=given)
            for given in (tmp_path / "state.npz", state)
        )
        np.testing.assert_array_equal(one.h, other.h)


def test_the_command_of_an_explanation_has_the_state_and_the_mask() -> None:
    inputs: dict[str, Any] = {
        "initial_state": {"h": np.full((1, 3), 0.5), "c": np.full((1, 3), -0.5)},
        "mask": np.arange(7)[None] < 6,
    }
    expected = lstmcli.run(WEIGHTS, INPUTS, forget_bias=0.0, **inputs).h
    command = lstmcli.explain(WEIGHTS, INPUTS, expected, **inputs).command
    assert command.endswith("--initial-state STATE --mask MASK --forget-bias 0")


py: Any = lstmcli  # whose types mypy does not hold these calls to


class Module:
    """A stand-in for a module of PyTorch."""

    def state_dict(self) -> dict[str, Any]:
        return {}


TWO = [
    np.ones(shape) for depth in (4, 3) for shape in ((depth, 12), (3, 12), 12)
]  # Keras' layers


def test_layers_of_a_list_are_given_as_a_list_or_a_text() -> None:
    assert (
        len(py.load(TWO, layer=(0, 1)).layers)
        == len(py.load(TWO, layer="0,1").layers)
        == 2
    )
    assert len(py.load(TWO, layer=[1]).layers) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: py.load(), r"load takes a path or a dict of arrays"),
        (lambda: py.load(3), r"load takes weights as a path or a dict.*got an int"),
        (lambda: py.load(WEIGHTS, max_bytes="1 GiB"), r"max_bytes is '1 GiB'; it takes an integer"),
        (lambda: py.load([1, 2]), r"^load: item 0 of the list of weights is an int; it has to be"),
        (lambda: py.load([np.ones((4, 12)), None]), r"item 1 of the list.* is None; it has to be"),
        (lambda: py.load([[np.ones((4, 12))]]), r"item 0 of .* is a list;.* several lists, are"),
        (lambda: py.load(("a.npy", "b.npy")), r"item 0 of .* is a str;.* paths, .* arguments"),
        (lambda: py.run([np.ones((4, 12)), None], INPUTS), r"^run: item 1 of the list"),
        (lambda: py.load([]), r"^load: the list of weights is empty"),
        (lambda: py.load(TWO), r"the list of arrays has 2 LSTMs;.*layer='0,1'  runs"),
        (lambda: py.load(TWO, layer=(0, 2)), r"^layer='2': the list of arrays has no such LSTM"),
        (lambda: py.load(Module()), r"got a Module\. Pass its \.state_dict\(\)\."),
        (lambda: py.load(WEIGHTS, batch_first=True), r"Did you mean layout='batch'\?"),
        (lambda: py.load(WEIGHTS, layout="batch_first"), r"Did you mean 'batch'\?"),
        (lambda: py.run(WEIGHTS, INPUTS, initial_state=(1, 2)), r"pass {\"h\": h.*\(h, c\) in PyT"),
        (lambda: py.load({1: np.ones(3)}), r"names for keys; it has 1"),
        (lambda: py.load({"kernel": 10**5000}), r"load: kernel is too large an integer"),
        (lambda: py.load({"kernel": object()}), r"load: kernel is an object"),
        (lambda: py.load({"kernel": np.array(["a"])}), r"load: kernel is an array of <U1"),
        (lambda: py.load({"kernel": [[1], [2, 3]]}), r"load: kernel is a list, and no array"),
        (lambda: py.load("nowhere.npz"), r"nowhere\.npz"),
        (lambda: py.run(WEIGHTS), r"no inputs"),
        (lambda: py.run(py.load(WEIGHTS)), r"run\(model, x\)"),
        (lambda: py.run(WEIGHTS, object()), r"the input array is an object"),
        (lambda: py.run(WEIGHTS, 3.0), r"^the input array is \(\); inputs are \(T, I\)"),
        (lambda: py.run(5, np.ones((2, 4))), r"run takes weights.*got an int"),
        (lambda: py.run(py.load(WEIGHTS), [[1]], gates="ifgo"), r"give gates= to load\(\)"),
        (lambda: py.diff(3j, np.ones(3)), r"a is an array of complex128"),
        (lambda: py.diff(np.ones(3), None), r"b is None"),
        (lambda: py.diff(np.ones(3), np.ones(3), ulp=np.inf), r"ulp is inf; .*integer"),
        (lambda: py.diff(np.ones(3), np.ones(3), rtol="a"), r"rtol is a; a tolerance is a number"),
        (lambda: py.load(WEIGHTS, forget_bias=10**400), r"forget_bias is too large an integer"),
        (lambda: py.load(WEIGHTS, activation="elu(nan)"), r"finite numbers between the brackets"),
        (lambda: py.load(WEIGHTS, activation="relu(,)"), r"finite numbers between the brackets"),
        (lambda: py.load(WEIGHTS, activation="elu(1"), r"finite numbers between the brackets"),
        (lambda: py.load(WEIGHTS, activation="hard_sigmoid()"), r"hard_sigmoid_0\.2, clip"),
        (lambda: py.load(py.load(WEIGHTS)), r"got a Model\. A model that is loaded"),
        (lambda: py.run(WEIGHTS, INPUTS, initial_state=np.ones((2, 3))), r"state is an ndarray"),
        (lambda: py.run(WEIGHTS, INPUTS, initial_state="nowhere.npz"), r"nowhere\.npz"),
        (lambda: py.run(WEIGHTS, INPUTS, layout="rows"), r"run: layout is 'rows'; it takes batch"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, 0, layout=1), r"layout is 1; it takes batch"),
        (lambda: py.diff(INPUTS, INPUTS, only=[]), r"only takes names of arrays"),
        (lambda: py.run(WEIGHTS, INPUTS, forgetbias=3), r"run: unknown setting 'forgetbias'"),
        (lambda: py.run(WEIGHTS, INPUTS, edits="inputs.late=1_0"), "takes an integer from 1 on"),
        (lambda: py.run(WEIGHTS, INPUTS, **{".forget_bias": 0}), "unknown setting '.forget_bias'"),
        (lambda: py.run(WEIGHTS, INPUTS, cell_clip=-1), r"run: cell_clip is -1; it takes"),
        (lambda: py.run(WEIGHTS, INPUTS, coupled=True), r"run: coupled is True; it takes"),
        (lambda: py.save(py.run(WEIGHTS, INPUTS, keep=()), "a.csv"), r"only its final state"),
        (lambda: py.diff(INPUTS, INPUTS, steps=slice(2)), r"steps is a slice; it takes one number"),
        (lambda: py.run(WEIGHTS, INPUTS, initial_state={"h": ["a"]}), r"state h is an array"),
        (lambda: py.run(WEIGHTS, INPUTS, lengths=[[1], [2, 3]]), r"lengths is a list, and no"),
        (lambda: py.run(WEIGHTS, INPUTS, lengths=[np.inf]), r"lengths are .* 1 are not: inf"),
        (lambda: py.run(WEIGHTS, INPUTS, mask=[["0"] * 7]), r"the mask is an array of <U1"),
        (lambda: py.run(WEIGHTS, INPUTS, np.ones((1, 7, 3))), r"keep takes names of arrays"),
        (lambda: py.save(py.run(WEIGHTS, INPUTS), "a.npz", b"h"), r"only takes names of arrays"),
        (lambda: py.run(WEIGHTS, INPUTS, only="h"), r"no argument 'only'\. It is keep here"),
        (lambda: py.run(WEIGHTS, np.array([{}])), r"input array is an array of object; it"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, 0, np.array(["i"])), r"gate is an ndarray; it"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, 0, "q"), r"there is no gate 'q'; the gates are"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, 0, cell=np.zeros(2)), r"cell is an ndarray; it"),
        (lambda: py.derive(WEIGHTS, INPUTS, steps=1, units=0), r"^derive: .*'steps'\. It is step"),
        (lambda: py.diff(INPUTS, INPUTS, rto=1), r"no argument 'rto'\. Did you mean 'rtol'\?"),
        (lambda: py.save(None, "a.npz", onl="h"), r"^save: there is no argument 'onl'.*'only'"),
        (lambda: py.diff(INPUTS, INPUTS, equal_nan=np.zeros(2)), r"equal_nan is an ndarray; it"),
        (lambda: py.explain(WEIGHTS, INPUTS, 0.5), r"^EXPECTED is a single number; it has to be"),
        (lambda: py.explain(WEIGHTS, INPUTS, {"h": np.array(1)}), r"^EXPECTED: h is a single numb"),
        (lambda: py.run(WEIGHTS, INPUTS, executor=Executor), r"executor is a type; it takes"),
        (lambda: py.run(WEIGHTS, INPUTS, meter=np.ones(2)), r"meter is an ndarray; it takes a"),
        (lambda: py.run(WEIGHTS, INPUTS, name=3), r"run: name is an int; it takes text"),
        (lambda: py.explain(WEIGHTS, INPUTS, INPUTS, progress=1), r"progress is an int; it take"),
        (lambda: py.run(WEIGHTS, INPUTS, np.array(1)), r"keep takes names of arrays"),
        (lambda: py.load(WEIGHTS, cell_clip=np.zeros(2, "f,f")), r"; it takes a number.$"),
        (lambda: py.diff(INPUTS, INPUTS, only=np.array("h")), r"diff: only takes names of"),
        (lambda: py.save(py.run(WEIGHTS, INPUTS), "a.npz", []), r"save: only takes names of"),
        (lambda: py.diff(INPUTS, INPUTS, units=[0, 1]), r"units is a list; it takes one number"),
        (lambda: py.diff(INPUTS, [np.ones((2, 3)), np.ones(3)]), r"its items differ in shape"),
        (lambda: py.run(py.load(WEIGHTS), INPUTS, steps=2), r"run: unknown setting 'steps'"),
        (lambda: py.run(py.load(WEIGHTS), INPUTS, layuot="batch"), r"Did you mean 'layout'\?"),
        (lambda: py.run(py.load(WEIGHTS), INPUTS, forget_bias=1), r"forget_bias= to load\(\)\."),
        (lambda: py.derive(WEIGHTS, INPUTS, "a", 0), r"step is 'a'; it takes an integer"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, None), r"unit is None; it takes an integer"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, 0, "f").line("z_i"), r"no line 'z_i'; the lines"),
        (lambda: py.derive(WEIGHTS, INPUTS, 0, 0).line(np.ones(2)), r"no line array.*the lines"),
        (lambda: py.diff(py.run(WEIGHTS, INPUTS), INPUTS, only=[3]), r"only takes names of"),
        (lambda: py.save(np.ones(3), "a.npz"), r"save takes a trace.*got an ndarray"),
        (lambda: py.save(py.run(WEIGHTS, INPUTS), 5), r"save takes a path.*got an int"),
    ],
)  # fmt: skip
def test_a_wrong_type_says_what_to_pass(call: Any, message: str) -> None:
    with pytest.raises(lstmcli.UserError, match=f"(?s){message}"):
        call()


def test_a_dtype_may_be_the_class() -> None:
    assert py.run(WEIGHTS, INPUTS, dtype=np.float64).h.dtype == np.float64
    with pytest.raises(lstmcli.UserError, match="it takes float16, "):
        py.run(WEIGHTS, INPUTS, dtype=int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: py.diff(INPUTS, INPUTS, steps=9), r"^steps='9': there is no step 9"),
        (
            lambda: py.diff("h.npy", INPUTS, only="q"),
            r"^only='q': both sides contain h\.",
        ),
        (lambda: py.diff(TEXT, TEXT, ulp=1), r"\n  atol=\.\.\.\n  rtol=\.\.\.$"),
        (
            lambda: py.load({"W": np.ones((4, 4))}),
            r"\n  convention='tf1', bias_row='last'  +the",
        ),
        (lambda: py.load("twice.npz"), r"choose one:\n  layer=0  one\n"),
        (
            lambda: py.load(WEIGHTS, max_bytes=8),
            r"would take .*\n  Try max_bytes=672$",
        ),
        (
            lambda: py.derive(py.load(WEIGHTS, arithmetic="8bit"), INPUTS, 0, 0),
            r"Try arithmetic='float'$",
        ),
        (
            lambda: py.run(["h.npy", WEIGHTS], x=None),
            r"\n  run\(\['h\.npy', '.*weights\.npz'\], inputs\)$",
        ),
    ],
)
def test_messages_name_arguments_and_not_options(
    call: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("h.npy", np.ones((1, 7, 4)))
    one = {"kernel": np.ones((3, 8)), "recurrent_kernel": np.ones((2, 8))}
    twice: Any = {f"{n}/{k}": a for n in ("one", "two") for k, a in one.items()}
    np.savez("twice.npz", **twice)
    with pytest.raises(lstmcli.UserError, match=message):
        call()


TWO_WAYS = {"p": np.ones((3, 12)), "s": np.ones((3, 12)), "q": np.ones(12)}


@pytest.mark.parametrize(
    "call",
    [
        lambda: py.load({"a": np.ones(3)}),
        lambda: py.load({"a": np.ones((3, 8))}),
        lambda: py.load(TWO_WAYS),
        lambda: py.load("two_ways.npz"),
        lambda: py.load("three.npz"),
        lambda: py.load(
            {"W": np.ones((7, 12)), "b": np.ones(12), "V": np.ones((3, 12))}
        ),
        lambda: py.load([np.ones((7, 12)), np.ones(12)] * 2),
        lambda: py.run(WEIGHTS),
        lambda: py.run(WEIGHTS, max_bytes=8),
        lambda: py.load(WEIGHTS, convention="nobodys"),
        lambda: py.load({"weight_ih_l0": np.ones((12, 2)), "bias_ih_l0": np.ones(12)}),
        lambda: py.load("results.npz"),
        lambda: py.run(WEIGHTS, "results.npz"),
        lambda: py.run([WEIGHTS, INPUTS], TEXT),
        lambda: py.run("h.npz", INPUTS),
        lambda: py.run(WEIGHTS, INPUTS, initial_state="selected.npz"),
        lambda: py.explain(WEIGHTS, INPUTS, WEIGHTS),
        lambda: py.derive(WEIGHTS, INPUTS, 9, 0),
        lambda: py.diff(WEIGHTS, INPUTS, steps="9:"),
        lambda: py.diff("table.txt", INPUTS),
    ],
)
def test_no_message_has_the_syntax_of_a_shell(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("two_ways.npz", **TWO_WAYS)  # type: ignore[arg-type]
    np.savez("three.npz", **{f"block{n}/q": np.ones(n + 1) for n in range(3)})  # type: ignore[arg-type]
    np.savez("h.npz", h=np.ones((7, 3)))
    np.savez("results.npz", h=np.ones((7, 3)), c=np.ones((7, 3)))
    Path("table.txt").write_text("step  unit   h\n   0     0  0.1\n")  # of lstm run
    meta = '{"selected": {"steps": "0:2", "of_steps": 7}}'
    np.savez(
        "selected.npz", h=np.ones((1, 2, 3)), c=np.ones((1, 2, 3)), meta=np.array(meta)
    )
    with pytest.raises(lstmcli.UserError) as error:
        call()
    commands = "|".join(COMMANDS)
    assert not re.search(rf"(^|[\s'])--?[a-z]|\blstm ({commands})\b", str(error.value))


def test_a_command_is_the_call_that_does_the_same() -> None:
    with pytest.raises(lstmcli.UserError) as error:
        py.load(TWO_WAYS)
    first = str(error.value).splitlines()[1].strip()
    trace = eval(first, {"run": py.run, "arrays": TWO_WAYS, "inputs": np.ones((2, 3))})
    assert trace.h.shape == (2, 3)


def test_settings_of_run_are_read_as_those_of_load() -> None:
    for settings in ({"gates": "ijfo"}, {"activation": "ReLU"}, {"reverse": "false"}):
        ran = py.run(WEIGHTS, INPUTS, **settings)
        assert lstmcli.diff(
            ran, lstmcli.run(py.load(WEIGHTS, **settings), np.load(INPUTS))
        ).equal


def test_names_and_sizes_may_be_numpy_s() -> None:
    assert py.load(WEIGHTS, max_bytes=np.int64(1 << 20)).cell.units == 3
    trace = lstmcli.run(WEIGHTS, INPUTS)
    assert py.diff(trace, trace, only=np.array(["h", "c"])).equal


def test_tensors_of_a_framework_are_read_like_their_printed_output() -> None:
    trace = lstmcli.run(WEIGHTS, INPUTS)
    h, final_h, final_c = (Tensor(a) for a in (trace.h, trace.final_h, trace.final_c))
    found = py.diff(trace, (h, (final_h, final_c)))
    assert [*found.arrays] == ["h", "final_h", "final_c"]
    assert found.equal
    assert py.diff(trace, [Tensor(sequence) for sequence in trace.h]).equal


def test_names_may_be_a_text_with_commas(tmp_path: Path) -> None:
    trace = py.run(WEIGHTS, INPUTS, "h, c")
    assert {*trace.arrays} == {"h", "c"}
    assert [*py.diff(trace, trace, only="h,final_h").arrays] == ["h", "final_h"]
    py.save(trace, tmp_path / "out.npz", only="h,c")
    with np.load(tmp_path / "out.npz") as file:
        assert {*file} == {"h", "c", "meta"}


def test_an_explanation_is_neither_true_nor_false() -> None:
    found = py.explain(WEIGHTS, INPUTS, TEXT)
    with pytest.raises(
        ValueError, match="the truth value of an Explanation is ambiguous: use"
    ):
        bool(found)


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_that_python_does_not_print_are_refused(sign: int) -> None:
    value: Any = sign * 10**5000
    too_large = "too large an integer, of about 5,001 digits"
    for name in ("forget_bias", "cell_clip", "activation", "layer"):
        settings: dict[str, Any] = {name: value}
        with pytest.raises(lstmcli.UserError, match=f"{name} is {too_large}"):
            lstmcli.run(WEIGHTS, INPUTS, **settings)
    h = lstmcli.run(WEIGHTS, INPUTS).h
    with pytest.raises(lstmcli.UserError, match=f"diff: steps is {too_large}"):
        lstmcli.diff(h, h, steps=value)
    with pytest.raises(lstmcli.UserError, match=f"derive: step is {too_large}"):
        lstmcli.derive(WEIGHTS, INPUTS, value, 0)
