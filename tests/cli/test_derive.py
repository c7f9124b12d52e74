"""``lstm derive``: the command's screen, JSON, exit status and messages."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import SAMPLE, Lstm
from tests.paths import TOP

FILES = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")
GOLDEN = TOP / "tests" / "golden"

GATE = """\
f, step 1, batch 0, unit 0
x          of step 1 of the inputs
h, c_prev  as step 0 left them

sum_f              value       weight  of                term  sum so far
forget bias                                        1.00000000  1.00000000
x[0]          1.86755799   0.22211829  kernel      0.41481879  1.41481879
x[2]          0.95008842   0.36076525  kernel      0.34275888  1.75757767
x[1]         -0.97727788  -0.32719428  kernel      0.31975973  2.07733740
h[2]         -0.25431477   0.35267830  recurrent  -0.08969130  1.98764610
h[0]         -0.21386017  -0.20391089  recurrent   0.04360842  2.03125452
x[3]         -0.15135721  -0.22911864  kernel      0.03467876  2.06593327
h[1]         -0.08401277   0.26433526  recurrent  -0.02220754  2.04372574
bias                                               0.00000000  2.04372574
"""


def derived(lstm: Lstm, *words: Any) -> Any:
    done = lstm("derive", *words, "-f", "json")
    assert done.status in (0, 1), done.err
    return json.loads(done.out)


def test_the_terms_of_a_gate_then_c_and_h(lstm: Lstm) -> None:
    done = lstm("derive", *FILES, "--steps", 1, "--units", 0, "--gate", "f")
    assert (done.status, done.err) == (0, "")
    assert GATE in done.out
    assert "f     = sigmoid(z_f)\n      = sigmoid(2.04372574)\n      = 0.88531210236" in done.out
    assert "      = 0.88531210 * -0.60919952 + 0.51192954 * 0.18433243\n" in done.out


@pytest.mark.parametrize("gate", [(), ("--gate", "o")])
def test_the_json_s_last_line_is_run_s_number(lstm: Lstm, gate: tuple[str, ...]) -> None:
    lstm("run", *FILES, "-o", "out.npz")
    with np.load("out.npz") as trace:
        for step in (0, 3, 6):
            found = derived(lstm, *FILES, "--steps", step, "--units", 2, *gate)
            lines = {line["name"]: line["value"] for line in found["lines"]}
            assert found["lines"][-1]["name"] == "h"
            for name in "hco":
                assert lines[name] == trace[name][0, step, 2]
            assert found["previous_step"] == (step - 1 if step else None)


def test_every_number_of_a_line_is_there_to_be_used(lstm: Lstm) -> None:
    found = derived(lstm, *FILES, "--steps", 4, "--units", 1)
    line = next(line for line in found["lines"] if line["name"] == "c")
    assert line["formula"] == "f * c_prev + i * g"
    n = line["numbers"]
    assert n["f"] * n["c_prev"] + n["i"] * n["g"] == pytest.approx(line["value"], rel=1e-14)
    terms = found["sums"]["i"]["terms"]
    assert sum(t["term"] for t in terms) == pytest.approx(found["sums"]["i"]["sum"], rel=1e-14)
    assert terms[0]["value"] * terms[0]["weight"] == pytest.approx(terms[0]["term"], rel=1e-15)


SUMMED = ("x[", "h_prev[", "h[", "bias", "forget bias")


def test_against_a_print_that_lacks_the_forget_bias(lstm: Lstm) -> None:
    words = ("derive", *FILES, "--steps", 1, "--units", 0)
    agreeing = lstm(*words, "--against", SAMPLE / "tensorflow.txt")
    assert agreeing.status == 0
    assert "agrees     h: all that the reference has" in agreeing.out
    differing = lstm(*words, "--against", SAMPLE / "numpy.txt")
    assert differing.status == 1
    assert "-0.18201784   differs by 4.04e-2, the first to differ" in differing.out
    assert "already" not in differing.out
    assert "next       --gate f" in differing.out
    later = lstm("derive", *FILES, "--steps", 2, "--units", 0, "--against", SAMPLE / "numpy.txt")
    assert "h of step 1 differs already" in later.out
    assert "the first of this step to differ" in later.out
    assert "first difference of this step in h:" in later.out
    assert "the first to differ" not in later.out


def test_explain_derive_and_diff_do_not_send_the_user_round(lstm: Lstm, tmp_path: Path) -> None:
    """What diff shows is explained, what is not explained is derived; that is the end."""
    np.save("other.npy", np.random.default_rng(0).normal(size=(1, 7, 3)))
    next_line = lstm("explain", *FILES, "other.npy").out.splitlines()[-1]
    words = shlex.split(next_line.removeprefix("next"))
    assert words[:2] == ["lstm", "derive"]
    done = lstm(*words[1:])
    assert (done.status, done.err) == (1, "")
    assert done.out.endswith("\nnext       --gate f shows every term of a gate\n")
    done = lstm(*words[1:], "--gate", "f")
    assert (done.status, done.err) == (1, "")
    assert "\nnext" not in done.out


def test_digits_that_differ_by_rounding_are_explained(lstm: Lstm) -> None:
    """Of a float32 run, the sum is shown beyond what z holds, and z may be ULPs off."""
    rng = np.random.default_rng(5)
    np.savez("w.npz", kernel=rng.normal(size=(15, 20)), bias=rng.normal(size=20))
    np.save("x.npy", rng.normal(size=(6, 10)))
    words = ("derive", "w.npz", "x.npy", "--dtype", "float32", "--units", 0, "--gate", "f")
    told = set()
    for step in range(6):
        for digits in (4, 7, 8, 12):
            out = lstm(*words, "--steps", step, "--digits", digits).out
            total = [line.split()[-1] for line in out.splitlines() if line.startswith(SUMMED)][-1]
            line = next(line for line in out.splitlines() if line.startswith("      = "))
            z, *why = line.removeprefix("      = ").split("   ")
            if z != total:
                assert why
                told.add(why[0].partition(":")[0])
            assert ("rounded once  what" in out) == ("rounded once:" in out)
    assert told == {"rounded once", "the sum, rounded once"}


def test_against_a_trace_of_lstm_run_names_the_gate(lstm: Lstm) -> None:
    lstm("run", *FILES, "--forget-bias", 0, "-o", "plain.npz")
    found = derived(lstm, *FILES, "--steps", 1, "--units", 0, "--against", "plain.npz")
    assert found["first_difference"] == "f"
    agree = {line["name"]: line["agrees"] for line in found["lines"]}
    assert (agree["i"], agree["f"], agree["g"], agree["z_i"]) == (True, False, True, None)


def test_many_terms_are_summed_up(lstm: Lstm) -> None:
    rng = np.random.default_rng(5)
    np.savez("w.npz", kernel=rng.normal(size=(70, 80)), bias=rng.normal(size=80))
    np.save("x.npy", rng.normal(size=(3, 50)))
    words = ("derive", "w.npz", "x.npy", "--steps", 2, "--units", 7, "--gate", "f")
    out = lstm(*words).out
    assert "52 smaller" in out
    assert "the 20 largest of 72 terms" in out
    assert "69 smaller" in lstm(*words, "--terms", 3).out
    everything = lstm(*words, "--terms", "all").out
    assert "smaller" not in everything
    total = [line.split()[-1] for line in out.splitlines() if "52 smaller" in line]
    last = [line for line in everything.splitlines() if line.startswith(("x[", "h[", "bias"))]
    assert len(last) == 71  # and the forget bias
    assert last[-1].split()[-1] == total[0]
    assert len(derived(lstm, *words[1:])["sums"]["f"]["terms"]) == 72


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_width_cuts_a_number(lstm: Lstm, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("derive", *FILES, "--steps", 1, "--units", 0, "--gate", "f")
    plain = lstm(*words).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    out = lstm(*words).out
    assert "…" not in out
    last = [repr(line["value"]) for line in derived(lstm, *words[1:])["lines"]]
    for value in (*last, "1.86755799", "2.04372574"):
        assert value in plain
        assert value in out


def test_one_of_several_cells_is_to_be_named(lstm: Lstm) -> None:
    case = GOLDEN / "torch" / "two_layers_bidirectional"
    with np.load(f"{case}.npz") as arrays:
        np.savez("x.npz", **{k: arrays[k] for k in arrays if k == "inputs" or "." in k})
        np.savez("theirs.npz", h=arrays["h"])
    words = ("derive", f"{case}.weights.npz", "x.npz", "--layout", "batch", "--steps", 2,
             "--units", 1, "--batch", 3)  # fmt: skip
    refused = lstm(*words)
    assert refused.status == 2
    assert "--cell layer1_reverse" in refused.err
    done = lstm(*words, "--cell", "layer1_reverse", "--against", "theirs.npz")
    assert done.status == 0
    assert "of step 2 of the output of layer0" in done.out
    assert "as step 3 left them" in done.out


def test_a_unit_of_both_directions_side_by_side_is_one_of_its_cell(lstm: Lstm) -> None:
    case = GOLDEN / "keras" / "get_weights_both_ways"  # 3 units each way
    with np.load(f"{case}.npz") as arrays:
        np.save("x.npy", arrays["inputs"])
        h = arrays["h"]
    weights = f"{case}.weights.npz"
    cells = {}
    for unit in (*range(6), -1):
        done = lstm("derive", weights, "x.npy", "--steps", 2, "--batch", 1, "--units", unit,
                    "-f", "json")  # fmt: skip
        told = json.loads(done.out)
        cells[unit] = told["cell"], told["unit"]
        (line,) = (line for line in told["lines"] if line["name"] == "h")
        assert line["value"] == pytest.approx(h[1, 2, unit], abs=1e-6)
    assert cells[2] == ("layer0", 2)
    assert cells[5] == cells[-1] == ("layer0_reverse", 2)
    words = ("derive", weights, "x.npy", "--steps", 0, "--units")
    assert "units are 0 to 5" in lstm(*words, 6).err
    assert "units are 0 to 2" in lstm(*words, 3, "--cell", "layer0").err


def test_of_a_stack_only_a_unit_that_no_cell_has_is_the_output_s(lstm: Lstm) -> None:
    case = GOLDEN / "torch" / "two_layers_bidirectional"
    with np.load(f"{case}.npz") as arrays:
        np.savez("x.npz", **{k: arrays[k] for k in arrays if k == "inputs" or "." in k})
        h = arrays["h"]
    units = h.shape[-1] // 2
    words = ("derive", f"{case}.weights.npz", "x.npz", "--layout", "batch", "--steps", 2,
             "-f", "json", "--units")  # fmt: skip
    told = json.loads(lstm(*words, units + 1).out)
    assert (told["cell"], told["unit"]) == ("layer1_reverse", 1)
    (line,) = (line for line in told["lines"] if line["name"] == "h")
    assert line["value"] == pytest.approx(h[0, 2, units + 1], abs=1e-6)
    assert "--cell layer1_reverse" in lstm(*words, -1).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", 7, "--units", 0), "there is no step 7; steps are 0 to 6"),
        (("--steps", 0, "--units", 0, "--terms", "some"), "--terms some: takes a number"),
        (("--units", 0), "missing option '--steps'"),
        ((), "missing options --steps and --units."),
        (("--steps", 0, "--units", 0, "--against", "no.npz"), "no.npz"),
    ],
)
def test_mistakes_are_reported_in_a_line(lstm: Lstm, words: tuple[Any, ...], said: str) -> None:
    done = lstm("derive", *FILES, *words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_another_s_results_may_come_from_a_pipe(lstm: Lstm) -> None:
    text = (SAMPLE / "tensorflow.txt").read_bytes()
    words = ("derive", *FILES, "--steps", 1, "--units", 0, "--against", "-")
    assert lstm(*words, stdin=text).status == 0
    Path("x.npy").write_bytes(FILES[1].read_bytes())
    refused = lstm("derive", FILES[0], "-", *words[3:], stdin=text)
    assert refused.status == 2
    assert "only once" in refused.err


def test_digits_shape_every_number_and_hide_what_they_cannot_show(lstm: Lstm) -> None:
    words = ("derive", *FILES, "--steps", 1, "--units", 0, "--digits", 5)
    refused = "lstm derive: --digits changes nothing: -f json shows no table; leave it out.\n"
    assert lstm(*words, "-f", "json") == (2, "", refused)
    out = lstm(*words, "--against", SAMPLE / "numpy.txt").out
    assert "= -0.22244\nreference  -0.18202   differs" in out
    assert "ULP" not in out


@pytest.mark.parametrize("option", ["--steps", "--units", "--batch"])
@pytest.mark.parametrize("value", ["0:3", "0,2", ":"])
def test_a_range_is_refused_with_what_to_type(lstm: Lstm, option: str, value: str) -> None:
    words = {"--steps": "0", "--units": "0", "--batch": "0"} | {option: value}
    done = lstm("derive", *FILES, *(word for pair in words.items() for word in pair))
    assert (done.status, done.out) == (2, "")
    assert f"{option} {value}: takes a whole number\n" in done.err


def test_the_place_that_is_proposed_is_one_that_the_reference_has(
    lstm: Lstm, tmp_path: Path
) -> None:
    weights, inputs = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
    lstm("run", weights, inputs, "--units", "1,2", "-o", tmp_path / "part.npz")
    words = ["derive", weights, inputs, "--against", tmp_path / "part.npz"]
    refused = lstm(*words, "--steps", 1, "--units", 0)
    assert "--steps 0 --batch 0 --units 1 is a place of which it has them" in refused.err
    assert lstm(*words, "--steps", 0, "--batch", 0, "--units", 1).status == 0


def test_a_reference_of_another_shape_is_shown_as_it_is_stored(lstm: Lstm) -> None:
    np.save("last.npy", np.ones(4))
    done = lstm("derive", *FILES, "--steps", 6, "--units", 0, "--against", "last.npy")
    assert done.status == 2
    assert "last.npy: h is (4,), read as (1, 1, 4) in (steps, batch, units)" in done.err
    assert "this run's is (7, 1, 3), and one step of it (3,)." in done.err
