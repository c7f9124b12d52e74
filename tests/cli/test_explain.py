"""The command: exit status, formats, messages."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import Explanation, explain_files
from tests.cli.conftest import SAMPLE, Lstm
from tests.core.explain.reference import outputs, random_net
from tests.paths import TESTS

FILES = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")


def test_a_cause_is_status_0(lstm: Lstm) -> None:
    done = lstm("explain", *FILES, SAMPLE / "numpy.txt")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "✔ One change explains it: forget bias: 0, not +1"
    assert "With this change, all 21 values of" in done.out, "a long path starts a line"
    assert "keras, pytorch, onnx" in done.out
    assert lines[-1].endswith("--forget-bias 0")
    assert "\x1b" not in done.out


def test_agreement_is_status_0(lstm: Lstm) -> None:
    done = lstm("explain", *FILES, SAMPLE / "tensorflow.txt")
    assert done.status == 0
    assert done.out.startswith("✔ Nothing has to be changed")


def test_no_cause_is_status_1(lstm: Lstm, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(7, 3)) * 0.2)
    done = lstm("explain", *FILES, "e.npy")
    assert done.status == 1
    assert done.out.startswith("✘ No configuration of these weights gives e.npy.")
    assert "first mismatch" in done.out
    assert "not tried" in done.out
    assert "lstm run" not in done.out
    last = shlex.split(done.out.splitlines()[-1])
    assert last[:3] == ["next", "lstm", "derive"]
    assert last[-2:] == ["--against", "e.npy"]
    assert lstm(*last[2:]).status == 1, "the numbers differ, and are shown"


@pytest.mark.parametrize("shape", [(7, 3), (2, 3), (1, 1, 3)], ids=str)
@pytest.mark.parametrize("piped", [True, False])
@pytest.mark.slow
def test_what_is_to_be_typed_next_can_be(
    shape: tuple[int, ...], piped: bool, lstm: Lstm, tmp_path: Path
) -> None:
    """EXPECTED is put beside where `derive` takes it for the same steps, and from a file."""
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=shape) * 0.2)
    stdin = (tmp_path / "e.npy").read_bytes()
    done = lstm("explain", *FILES, "-" if piped else "e.npy", stdin=stdin)
    last = shlex.split(done.out.partition("\nnext ")[2])
    assert ("--against" in last) == (not piped)
    assert lstm(*last[1:]).status == ("--against" in last)


@pytest.mark.slow
def test_what_has_another_width_is_put_beside_nothing(lstm: Lstm, tmp_path: Path) -> None:
    """Directions that were added behind two layers: `derive` would refuse them."""
    case = TESTS / "golden" / "torch" / "two_layers_bidirectional"
    recorded = np.load(f"{case}.npz")
    np.save(tmp_path / "x.npy", recorded["inputs"])
    np.save(tmp_path / "e.npy", np.add(*np.split(recorded["h"], 2, axis=-1)))
    done = lstm("explain", f"{case}.weights.npz", "x.npy", "e.npy", "--layout", "batch")
    assert done.status == 1
    last = shlex.split(done.out.partition("\nnext ")[2])
    assert last[1] == "derive"
    assert "--against" not in last
    assert lstm(*last[1:]).status == 0


@pytest.mark.parametrize("name", ["", "final_h"])
@pytest.mark.slow
def test_last_states_of_a_batch_are_put_beside_the_last_step(
    name: str, lstm: Lstm, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(2, 7, 4)))
    last = rng.normal(size=(2, 3)) * 0.2
    arrays: Any = {name or "out": last}
    np.savez(tmp_path / "e.npz", **arrays)
    done = lstm("explain", FILES[0], "x.npy", "e.npz", "--layout", "batch")
    command = shlex.split(done.out.partition("\nnext ")[2])
    assert command[-2:] == ["--against", "e.npz"]
    shown = lstm(*command[1:])
    assert shown.status == 1
    assert f"/ {last[0, 0]}" in shown.out


@pytest.mark.parametrize(
    "part",
    [("--steps", "2:5"), ("--steps", "1,4"), ("--batch", 1), ("--units", "1:3"),
     ("--steps", "6:7", "--batch", 1, "--units", 2)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_a_part_that_run_wrote_is_put_at_its_numbers(
    part: tuple[Any, ...], suffix: str, lstm: Lstm, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 7, 4)))
    files = (FILES[0], "x.npy", "--layout", "batch")
    assert lstm("run", *files, "--forget-bias", 0, *part, "-o", f"e.{suffix}").status == 0
    done = lstm("explain", FILES[0], "x.npy", f"e.{suffix}", "--layout", "batch", "-f", "json")
    found = json.loads(done.out)
    assert [(c["setting"], c["found"]) for c in found["changes"]] == [("forget_bias", 0)]
    assert any("the others are not compared" in note for note in found["notes"])


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_one_unit_is_not_taken_for_numbers_in_a_row(
    suffix: str, lstm: Lstm, tmp_path: Path
) -> None:
    """12 numbers of one unit might be 4 steps of 3 units."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(12, 4)))
    for unit in (1, 2):
        part = ("--only", "h", "--units", unit, "-o", f"u.{suffix}")
        assert lstm("run", FILES[0], "x.npy", *part).status == 0
        done = lstm("explain", FILES[0], "x.npy", f"u.{suffix}")
        assert (done.status, "All 12 values" in done.out) == (0, True)


@pytest.mark.parametrize("steps", ["0:", "1:"])
def test_a_csv_of_few_digits_agrees(steps: str, lstm: Lstm, tmp_path: Path) -> None:
    """All of a run or some steps of it; numbers below 1e-4 have an exponent in it."""
    x = np.load(FILES[1])
    x[..., 0, :] *= 1e-4
    np.save(tmp_path / "x.npy", x)
    lstm("run", FILES[0], "x.npy", "--digits", 3, "--only", "h", "--steps", steps, "-o", "few.csv")
    assert ("e-05" in (tmp_path / "few.csv").read_text()) == (steps == "0:")
    done = lstm("explain", FILES[0], "x.npy", "few.csv")
    assert (done.status, "printed to 3 digits" in done.out) == (0, True)
    assert "more than 3 digits after the" in done.out


def test_last_states_of_some_sequences_are_refused(lstm: Lstm, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 7, 4)))
    files = (FILES[0], "x.npy", "--layout", "batch")
    lstm("run", *files, "--batch", 1, "--only", "final_h", "-o", "e.npz")
    done = lstm("explain", FILES[0], "x.npy", "e.npz", "--layout", "batch")
    assert done.status == 2
    assert "e.npz contains batch items 1:2 of a run" in done.err


def test_one_of_several_unknown_arrays_is_typed_file_member(lstm: Lstm, tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", foo=np.zeros((7, 3)), bar=np.zeros((7, 3)))
    done = lstm("explain", *FILES, "e.npz")
    assert done.status == 2
    assert done.err.endswith("\n  FILE:MEMBER is one array: e.npz:foo\n")


def test_inputs_with_nan_are_refused_unless_they_are_padding(lstm: Lstm, tmp_path: Path) -> None:
    x = np.load(FILES[1])
    x[..., 5, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    words = ("explain", FILES[0], "x.npy", SAMPLE / "numpy.txt", "--layout", "batch")
    done = lstm(*words)
    assert (done.status, done.out) == (2, "")
    assert "x.npy has NaN at [0, 5, 1]" in done.err
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
    np.save(tmp_path / "e.npy", np.full((1, 1), 0.123456))
    done = lstm("explain", "w.npz", "x.npy", "e.npy")
    assert done.status == 1
    assert "too few numbers to prove it" in done.out
    assert "two steps or two units more" in " ".join(done.out.split())
    told = json.loads(lstm("explain", "w.npz", "x.npy", "e.npy", "-f", "json").out)
    assert (told["found"], told["verdict"]) == (False, "unproven"), "not none"
    assert told["decide"].startswith("two steps or two units more")


def test_json(lstm: Lstm) -> None:
    done = lstm("explain", *FILES, SAMPLE / "numpy.txt", "-f", "json")
    assert done.status == 0
    assert json.loads(done.out)["changes"][0]["found"] == 0.0


def test_markdown(lstm: Lstm) -> None:
    done = lstm("explain", *FILES, SAMPLE / "numpy.txt", "--markdown")
    assert done.status == 0
    assert "| forget bias | +1 (tf1) | 0 |" in done.out
    assert "```sh\nlstm run " in done.out


def test_expected_from_standard_input(lstm: Lstm) -> None:
    done = lstm("explain", *FILES, "-", stdin=(SAMPLE / "numpy.txt").read_bytes())
    assert done.status == 0
    assert "forget bias: 0" in done.out


def test_mistakes_are_status_2(lstm: Lstm) -> None:
    assert lstm("explain", FILES[0]).status == 2
    done = lstm("explain", *FILES)
    assert done.status == 2
    assert "EXPECTED is missing" in done.err
    assert lstm("explain", *FILES, "nowhere.npy").status == 2
    assert lstm("explain", "-", FILES[1], "-").status == 2
    done = lstm("explain", *FILES, FILES[1])
    assert done.status == 2
    assert "gives 3 numbers a step" in done.err
    assert lstm("explain", *FILES, SAMPLE / "numpy.txt", "--gates", "ifg").status == 2
    done = lstm("explain", FILES[0], SAMPLE / "numpy.txt", FILES[1])
    assert done.status == 2
    assert "look exchanged" in done.err
    done = lstm("explain", *FILES, SAMPLE / "numpy.txt", "--markdown", "-f", "json")
    assert done.status == 2
    assert "--format is given twice; give it once" in done.err


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


@pytest.mark.parametrize("truth", REPRODUCED, ids=lambda truth: ",".join(map(str, truth)))
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
    explanation = explain_files(["w.npz", "x.npy", "e.npy"], {})
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


def test_what_pytorch_calls_its_results_is_expected(lstm: Lstm, tmp_path: Path) -> None:
    lstm("run", *FILES, "--forget-bias", 0, "-o", "trace.npz")
    with np.load(tmp_path / "trace.npz") as trace:
        h, last = trace["h"], {"hn": trace["final_h"][None], "cn": trace["final_c"][None]}
    np.savez(tmp_path / "theirs.npz", output=h, **last)
    done = lstm("explain", *FILES, "theirs.npz")
    said = " ".join(done.out.split())
    assert "forget bias: 0, not +1" in said
    assert "output, hn and cn of theirs.npz are taken as h, final_h and final_c." in said
    assert "all 27 values of theirs.npz agree" in said
    assert lstm("diff", "trace.npz", "theirs.npz").status == 0


def test_weights_on_standard_input_are_read_once(lstm: Lstm, tmp_path: Path) -> None:
    """What they leave open has to be typed: they cannot be loaded again under another setting."""
    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {f"W{gate}": rng.normal(size=(7, 3)) for gate in "fico"}
    weights |= {f"b{gate}": np.zeros(3) for gate in "fico"}
    np.savez(tmp_path / "w.npz", **weights)
    for name, shape in (("x.npy", (5, 4)), ("e.npy", (5, 3))):
        np.save(tmp_path / name, rng.normal(size=shape))
    done = lstm("explain", "-", "x.npy", "e.npy", stdin=(tmp_path / "w.npz").read_bytes())
    assert done.status == 2
    assert "--rows hx" in done.err


def test_what_the_next_best_shows_is_not_called_untestable(lstm: Lstm) -> None:
    """Without a bias, as found, its gate order does not matter; as loaded it does."""
    assert lstm("convert", *FILES[:1], "ported.npz", "--to", "pytorch").status == 0
    out = lstm("explain", "ported.npz", FILES[1], SAMPLE / "numpy.txt").out
    assert "One change explains it: bias: none" in out
    assert "next best: gates of the bias" in out
    assert "not testable" not in out


def test_a_print_of_all_digits_is_called_full(lstm: Lstm) -> None:
    h = np.array(json.loads(lstm("run", *FILES, "-f", "json").out)["h"])
    Path("full.txt").write_text(np.array2string(h, precision=19, floatmode="fixed"))
    assert "(printed in full, greatest" in lstm("explain", *FILES, "full.txt").out
    Path("short.txt").write_text(np.array2string(h, precision=9, floatmode="fixed"))
    assert "(printed to 9 digits, greatest" in lstm("explain", *FILES, "short.txt").out


@pytest.mark.parametrize(("places", "said"), [(8, True), (17, False)])
def test_inputs_that_were_printed_are_the_reason_not_float64(
    lstm: Lstm, places: int, said: bool
) -> None:
    lstm("run", *FILES, "-o", "full.npz")
    x = np.load(FILES[1])[0]
    Path("x.txt").write_text(np.array2string(x, precision=places, floatmode="fixed"))
    out = " ".join(lstm("explain", FILES[0], "x.txt", "full.npz").out.split())
    assert "as loaded, these weights give full.npz" in out
    because = "at the precision of float64 it does not: the inputs have only 8 digits after the"
    assert (because in out) == ("EXPECTED agrees as float32 does" in out) == said


def test_inputs_that_are_whole_numbers_are_not_called_rounded(lstm: Lstm) -> None:
    """What EXPECTED was computed from may be float64: nothing was lost in one-hot inputs."""
    np.save("x.npy", np.eye(4))
    lstm("run", FILES[0], "x.npy", "-o", "full.npz")
    np.savez("off.npz", h=np.load("full.npz")["h"] * (1 + 3e-8))
    out = " ".join(lstm("explain", FILES[0], "x.npy", "off.npz").out.split())
    assert "at the precision of float64 it does not" in out
    assert "digits after the point" not in out


def test_weights_that_were_forgotten_are_asked_for(lstm: Lstm) -> None:
    done = lstm("explain", FILES[1], SAMPLE / "numpy.txt")
    assert done.status == 2
    assert done.err.endswith(
        "has no tensors of an LSTM.\n  The weights come first, then the inputs.\n"
    )


def test_numbers_that_are_not_finite_are_said_at_once(lstm: Lstm, tmp_path: Path) -> None:
    """A port that gives a NaN does not give all that the weights give."""
    assert lstm("run", *FILES, "--only", "h", "-o", "h.npy").status == 0
    h = np.load(tmp_path / "h.npy")
    h[..., 3, 1] = np.nan
    np.save(tmp_path / "nan.npy", h)
    done = lstm("explain", *FILES, "nan.npy")
    said = " ".join(done.out.split())
    assert "these weights give nan.npy, but for 1 NaN or infinite." in said
    assert f"All {h.size - 1} finite values of nan.npy agree" in said
    said = " ".join(lstm("explain", *FILES, "nan.npy", "--forget-bias", "2").out.split())
    assert "One change explains it, but for 1 NaN or infinite: forget bias" in said
