"""The command: exit status, formats, messages."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import Explanation, explain
from tests.cli.conftest import SAMPLE, Lstm
from tests.core.explain.reference import outputs, random_net
from tests.paths import TESTS
from tests.recorded import held

FILES = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")


@pytest.mark.parametrize("shape", [(7, 3), (2, 3), (1, 1, 3)], ids=str)
@pytest.mark.parametrize("piped", [True, False])
@pytest.mark.slow
def test_the_next_command_of_explain_can_be_run(
    shape: tuple[int, ...], piped: bool, lstm: Lstm, tmp_path: Path
) -> None:
    """EXPECTED is aligned where `derive` aligns it for the same steps, and from a file."""
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=shape) * 0.2)
    stdin = (tmp_path / "e.npy").read_bytes()
    done = lstm("explain", *FILES, "-" if piped else "e.npy", stdin=stdin)
    last = shlex.split(done.out.partition("\nnext ")[2])
    assert ("--against" in last) == (not piped)
    assert lstm(*last[1:]).status == ("--against" in last)


@pytest.mark.slow
def test_a_search_that_its_budget_ended_names_the_thorough_one(
    lstm: Lstm, tmp_path: Path
) -> None:
    """Directions that were added behind two layers."""
    case = TESTS / "golden" / "torch" / "two_layers_bidirectional"
    recorded = held("torch/two_layers_bidirectional")
    np.save(tmp_path / "x.npy", recorded["inputs"])
    np.save(tmp_path / "e.npy", np.add(*np.split(recorded["h"], 2, axis=-1)))
    done = lstm("explain", f"{case}.weights.npz", "x.npy", "e.npy", "--layout", "batch")
    assert done.status == 1
    last = shlex.split(done.out.partition("\nnext ")[2])
    assert (last[1], last[-1]) == ("explain", "--thorough")


@pytest.mark.parametrize("steps", ["2:5", "1,4", "6"])
@pytest.mark.parametrize("suffix", ["npz", "csv"])
@pytest.mark.sampled(3)
def test_steps_that_run_wrote_are_put_at_their_indices(
    steps: str, suffix: str, lstm: Lstm, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 7, 4)))
    files = (FILES[0], "x.npy", "--layout", "batch")
    part = ("--steps", steps, "-o", f"e.{suffix}")
    assert lstm("run", *files, "--forget-bias", 0, *part).status == 0
    done = lstm(
        "explain", FILES[0], "x.npy", f"e.{suffix}", "--layout", "batch", "-f", "json"
    )
    found = json.loads(done.out)
    assert [(c["setting"], c["found"]) for c in found["changes"]] == [
        ("forget_bias", 0)
    ]
    assert any("the others are not compared" in note for note in found["notes"])


def test_inputs_with_nan_are_refused_unless_they_are_padding(
    lstm: Lstm, tmp_path: Path
) -> None:
    x = np.load(FILES[1])
    x[..., 5, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    words = ("explain", FILES[0], "x.npy", SAMPLE / "numpy.txt", "--layout", "batch")
    done = lstm(*words)
    assert (done.status, done.out) == (2, "")
    assert "1 in all and the first at [0, 5, 1]" in done.err
    printed = (SAMPLE / "numpy.txt").read_text().splitlines()
    h = np.loadtxt([line.strip(" []") for line in printed])
    h[5:] = 0  # past the length
    (tmp_path / "h.txt").write_text(np.array2string(h, precision=8))
    done = lstm("explain", FILES[0], "x.npy", "h.txt", "--lengths", 5, "-f", "json")
    assert [c["setting"] for c in json.loads(done.out)["changes"]] == ["forget_bias"]


@pytest.mark.slow
def test_too_few_numbers_are_status_1(lstm: Lstm, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", kernel=np.array([[0.3, -0.8, 0.5, 0.9], [0.2, 0.4, -0.7, 0.6]]),
             bias=np.array([0.1, 0.2, 0.3, 0.4]))  # fmt: skip
    np.save(tmp_path / "x.npy", np.ones((1, 1)))
    i, _, g, o = 0.4, -0.6, 0.8, 1.3  # of a step from zero, in the order i f g o
    sigmoid_i, sigmoid_o = (1 / (1 + np.exp(-z)) for z in (i, o))
    np.save(
        tmp_path / "e.npy", np.full((1, 1), sigmoid_o * np.tanh(sigmoid_i * np.tanh(g)))
    )
    done = lstm("explain", "w.npz", "x.npy", "e.npy")
    assert done.status == 1
    assert "Too few values (1)" in done.out
    assert "two more steps or units" in " ".join(done.out.split())
    told = json.loads(lstm("explain", "w.npz", "x.npy", "e.npy", "-f", "json").out)
    assert (told["found"], told["verdict"]) == (False, "unproven"), "not none"
    assert told["decide"].startswith("two more steps or units")


REPRODUCED: list[dict[str, Any]] = [
    {"forget_bias": -0.7},
    {"gates": "iofg", "forget_bias": 2.5},
    {"recurrent_gates": "ifgo"},
    {"bias": "none", "interleaved": True},
    {"transposed": "both"},
    {"recurrent_activation": "hard_sigmoid_1_6"},
    {"activation": "sigmoid", "output_activation": "tanh"},
    {"output_activation": "identity"},
    {"coupled": "i=1-f"},
    {"cell_clip": 0.6},
    {"layout": "time"},
    {"reverse": True},
    {"flip_output": True},
    {"state": "reset"},
    {"rows": "hx"},
    {"peepholes": "old_c"},
    {"array": "c"},
]


def _told(explanation: Explanation) -> dict[str, Any]:
    return {k: v for change in explanation.changes for k, v in change.settings.items()}


@pytest.mark.parametrize(
    "truth", REPRODUCED, ids=lambda truth: ",".join(map(str, truth))
)
def test_the_printed_command_gives_expected(
    truth: dict[str, Any], lstm: Lstm, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    net = random_net(rng, 4, 3, peepholes="peepholes" in truth)
    arrays: dict[str, Any] = {"kernel": net.kernel, "bias": net.bias}
    if net.peepholes is not None:
        arrays |= {f"w_{g}_diag": p for g, p in zip("ifo", net.peepholes, strict=True)}
    np.savez(tmp_path / "w.npz", **{k: a.astype(np.float32) for k, a in arrays.items()})
    x = rng.normal(size=(2, 7, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    settings = {k: v for k, v in truth.items() if k != "array"}
    array = truth.get("array", "h")
    expected = outputs(net, x.astype(np.float64), settings, dtype=np.float32)[array]
    np.save(tmp_path / "e.npy", expected)
    explanation = explain("w.npz", "x.npy", "e.npy")
    assert _told(explanation) == truth
    words = shlex.split(explanation.command)
    assert words[:4] == ["lstm", "run", "w.npz", "x.npy"]
    if array != "h":
        assert words[-2:] == ["--only", "c"]
        words = words[:-2]
    done = lstm(*words[1:], "-o", "out.npz")
    assert done.status == 0, done.err
    with np.load(tmp_path / "out.npz") as members:
        np.testing.assert_allclose(members[array], expected, rtol=1e-5, atol=2e-6)


PARTS: dict[str, Any] = {
    "first steps": np.s_[:, :3],
    "a window of a sequence": np.s_[2, 2:5],
    "every second step": np.s_[:, ::2],
    "a step": np.s_[:, 3],
    "fewer sequences": np.s_[:2],
    "first units": np.s_[..., :3],
    "last step": np.s_[:, -1],
}


@pytest.mark.parametrize("name", PARTS)
def test_diff_compares_what_the_printed_command_writes(
    name: str, lstm: Lstm, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    net = random_net(rng, 4, 5)
    np.savez(tmp_path / "w.npz", kernel=net.kernel.astype("f4"), bias=net.bias)
    x = rng.normal(size=(3, 7, 4))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "e.npy", outputs(net, x, {"forget_bias": 0.0})["h"][PARTS[name]])
    explanation = explain("w.npz", "x.npy", "e.npy", layout="batch")
    assert _told(explanation) == {"forget_bias": 0.0}
    done = lstm(*shlex.split(explanation.command)[1:], "-o", "out.npz")
    assert done.status == 0, done.err
    compared = lstm("diff", "out.npz", "e.npy", "-f", "json")
    assert json.loads(compared.out)["arrays"]["h"]["total"] > 0, compared.out
    assert compared.status == 0, compared.out


def _halved(name: str, value: Any, z: Any, x: Any) -> Any:
    return value * np.clip(value, 0.6, 0.8) if name == "f" else value


def _other_layout(truth: dict[str, Any], folder: Path) -> Explanation:
    """The answer for outputs with a mistake, of inputs that are in the other layout."""
    rng = np.random.default_rng(6)
    net = random_net(rng, 4, 3)
    np.savez(folder / "w.npz", kernel=net.kernel.astype("f4"), bias=net.bias)
    x = rng.normal(size=(3, 7, 4))
    expected = outputs(net, x, {"layout": "time", **truth})["h"]
    return explain(str(folder / "w.npz"), x, expected, layout="batch")


def test_weights_may_be_longdouble(lstm: Lstm) -> None:
    """Wider than the sums of squares that rank the nearest runs."""
    done = lstm("explain", *FILES, SAMPLE / "numpy.txt", "--dtype", "longdouble")
    assert done.status == 0
    assert "forget bias is 0" in done.out


@pytest.mark.slow
def test_a_first_step_that_agrees_alone_names_the_other_layout(tmp_path: Path) -> None:
    answer = _other_layout({"spoil": _halved}, tmp_path)
    assert answer.verdict == "none"
    assert any("Step 0 of sequence 0 alone agrees" in text for text in answer.notes)
    assert answer.next.startswith("lstm explain")
    assert answer.next.endswith("--layout time")
