"""FILE:MEMBER names one array of a file, wherever a file is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with the sample's arrays under other names, several in a file."""
    weights, x = np.load(WEIGHTS), np.load(INPUTS)
    np.savez(tmp_path / "W.npz", W=weights["kernel"], b=weights["bias"], epoch=np.zeros(3))
    np.savez(tmp_path / "x.npz", x_train=2 * x, x_val=x)
    (tmp_path / "x.json").write_text(json.dumps({"a": (2 * x).tolist(), "b": x.tolist()}))
    h = lstmcli.run(lstmcli.load(str(WEIGHTS)), x).h
    np.savez(tmp_path / "y.npz", y_train=2 * h, y_val=h)
    np.save(tmp_path / "h.npy", h)
    return tmp_path


NAMED = ("kernel=W.npz:W", "bias=W.npz:b")


def test_weights_and_inputs_are_members(lstm: Lstm, there: Path) -> None:
    assert lstm("run", *NAMED, "x.npz:x_val", "-o", "out.npz").status == 0
    np.testing.assert_array_equal(np.load(there / "out.npz")["h"], np.load(there / "h.npy"))
    assert lstm("run", *NAMED, "x.json:b", "-o", "json.npz").status == 0
    np.testing.assert_array_equal(np.load(there / "json.npz")["h"], np.load(there / "h.npy"))


def test_a_member_keeps_its_name_as_a_tensor(lstm: Lstm, there: Path) -> None:
    both = lstm("run", f"{WEIGHTS}:kernel", f"{WEIGHTS}:bias", INPUTS, "-f", "json", "-q")
    assert both.status == 0
    full = lstm("run", WEIGHTS, INPUTS, "-f", "json", "-q")
    assert json.loads(both.out)["h"] == json.loads(full.out)["h"]


@pytest.mark.parametrize("side", ["trace.npz:h", "trace.json:h"])
def test_diff_compares_a_member(lstm: Lstm, there: Path, side: str) -> None:
    for name in ("trace.npz", "trace.json"):
        assert lstm("run", WEIGHTS, INPUTS, "-o", name).status == 0
    assert lstm("diff", side, "h.npy", "-q").status == 0


def test_a_member_of_standard_input(lstm: Lstm, there: Path) -> None:
    assert lstm("run", WEIGHTS, INPUTS, "-o", "trace.npz").status == 0
    trace = (there / "trace.npz").read_bytes()
    assert lstm("diff", "-:h", "h.npy", stdin=trace).status == 0
    assert lstm("diff", "h.npy", "-:final_h", stdin=trace).status != 0
    x = (there / "x.npz").read_bytes()
    done = lstm("run", WEIGHTS, "-:x_val", "-o", "out.npz", stdin=x)
    assert done.status == 0, done.err
    twice = lstm("diff", "-:h", "-", stdin=trace)
    assert twice.status == 2
    assert "only once" in twice.err


def test_expected_and_reference_values_are_members(lstm: Lstm, there: Path) -> None:
    explained = lstm("explain", WEIGHTS, "x.npz:x_val", "y.npz:y_val", "-f", "json")
    assert json.loads(explained.out)["verdict"] == "agrees"
    place = ("--steps", "1", "--units", "0")
    assert lstm("derive", WEIGHTS, INPUTS, *place, "--against", "y.npz:y_val").status == 0
    assert lstm("derive", WEIGHTS, INPUTS, *place, "--against", "y.npz:y_train").status == 1


def test_lengths_and_masks_are_members(lstm: Lstm, there: Path) -> None:
    np.savez(
        there / "data.npz", other=np.ones((1, 7)), keep=np.arange(7)[None] < 4, n=np.array([4])
    )
    masked = lstm("run", WEIGHTS, INPUTS, "--mask", "data.npz:keep", "-f", "csv", "-q")
    short = lstm("run", WEIGHTS, INPUTS, "--lengths", "data.npz:n", "-f", "csv", "-q")
    assert masked.status == short.status == 0
    assert masked.out == short.out
    assert masked.out != lstm("run", WEIGHTS, INPUTS, "-f", "csv", "-q").out


def test_the_other_commands_take_members_too(lstm: Lstm, there: Path) -> None:
    assert lstm("run", WEIGHTS, INPUTS, "-o", "trace.npz").status == 0
    drawn = lstm("plot", "trace.npz:c")
    assert drawn.status == 0, drawn.err
    assert (
        lstm("plot", "trace.npz", "--only", "c").out.splitlines()[3:] == drawn.out.splitlines()[3:]
    )
    same = lstm("plot", "trace.npz:h", "h.npy")
    assert same.status == 0, same.err
    of_other = lstm("plot", "y.npz:y_val", "h.npy").out.replace("y.npz:y_val", "trace.npz:h")
    assumed = "assumed   y_val of trace.npz:h is taken as h"
    assert assumed in of_other.splitlines()
    assert [one for one in of_other.splitlines() if one != assumed][3:] == same.out.splitlines()[3:]
    assert "kernel" in lstm("plot", f"{WEIGHTS}:kernel").err, "weights, whose inputs are missing"
    inspected = json.loads(lstm("inspect", "W.npz:W", "-f", "json").out)
    assert [*inspected["tensors"]] == ["W"]
    assert lstm("convert", *NAMED, "keras.npz", "--to", "keras").status == 0
    given = [lstm("run", *files, INPUTS, "-f", "csv", "-q").out for files in (NAMED, ["keras.npz"])]
    assert given[0] == given[1]


def test_python_takes_members_too(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(there)
    model = lstmcli.load(*NAMED)
    assert model.cell.units == 3
    found = lstmcli.explain(list(NAMED), "x.npz:x_val", "y.npz:y_val")
    assert found.verdict == "agrees"


def test_a_member_name_may_contain_colons(lstm: Lstm, there: Path) -> None:
    np.savez(there / "k.npz", **{"lstm/kernel:0": np.load(WEIGHTS)["kernel"], "step:0": np.ones(2)})
    done = lstm("run", "kernel=k.npz:lstm/kernel:0", "bias=W.npz:b", INPUTS, "-f", "csv", "-q")
    assert done.out == lstm("run", WEIGHTS, INPUTS, "-f", "csv", "-q").out


def test_a_file_whose_name_has_the_colon_wins(lstm: Lstm, there: Path) -> None:
    (there / "x.npz:x_val").write_bytes((there / "h.npy").read_bytes())
    assert lstm("diff", "x.npz:x_val", "h.npy").status == 0
    (there / "a:b.npz").write_bytes((there / "x.npz").read_bytes())
    assert lstm("run", WEIGHTS, "a:b.npz:x_val", "-o", "out.npy").status == 0
    np.testing.assert_array_equal(np.load(there / "out.npy"), np.load(there / "h.npy"))


def test_a_file_that_exists_is_not_taken_for_a_name_and_a_file(lstm: Lstm, there: Path) -> None:
    (there / "lr=0.1.npy").write_bytes(INPUTS.read_bytes())
    (there / "lr=0.1.npz").write_bytes(WEIGHTS.read_bytes())
    done = lstm("run", "lr=0.1.npz", "lr=0.1.npy", "-f", "csv", "-q")
    assert done.status == 0, done.err
    assert done.out == lstm("run", WEIGHTS, INPUTS, "-f", "csv", "-q").out
    assert lstm("run", "lr=0.1.npz:kernel", "bias=W.npz:b", INPUTS, "-q", "-f", "csv") == done


def test_a_member_that_is_not_there_is_reported_with_those_that_are(
    lstm: Lstm, there: Path
) -> None:
    done = lstm("run", WEIGHTS, "x.npz:x_vall")
    assert done.status == 2
    assert done.err == (
        "lstm run: x.npz:x_vall: x.npz has no 'x_vall'; it has x_train, x_val. "
        'Did you mean "x_val"?\n'
    )
    done = lstm("diff", "h.npy:h", "h.npy")
    assert done.err == ("lstm diff: h.npy:h: h.npy has one array, without a name; leave out :h.\n")
    labels: dict[str, Any] = {"label": np.array(["a", "b"])}
    np.savez("many.npz", lstm_out=np.ones((7, 3)), **labels)
    np.savez("labels.npz", **labels)
    for file, arrays in (("many.npz", "lstm_out"), ("labels.npz", "no arrays")):
        done = lstm("diff", "h.npy", f"{file}:label")
        message = f"{file}:label: {file} has {arrays}; label is no array of numbers."
        assert done.err == f"lstm diff: {message}\n"
    assert lstm("diff", "nowhere.npz:h", "h.npy").err.startswith(
        "lstm diff: nowhere.npz:h: no such file."
    )


def test_the_other_members_of_an_archive_are_not_unpacked(lstm: Lstm, there: Path) -> None:
    train = np.random.default_rng(0).normal(size=(5000, 7, 4))
    np.savez(there / "x.npz", x_train=train, x_val=np.load(INPUTS))
    data = (there / "x.npz").read_bytes()
    at = data.index(train[-1].tobytes())
    (there / "x.npz").write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    full = lstm("inspect", "x.npz")
    assert full.status == 2
    assert "damaged" in full.err
    done = lstm("run", WEIGHTS, "x.npz:x_val", "-o", "out.npy", "-q")
    assert done == (0, "", "")
    np.testing.assert_array_equal(np.load(there / "out.npy"), np.load(there / "h.npy"))
    assert "damaged" in lstm("run", WEIGHTS, "x.npz:x_train").err


def test_a_file_of_which_a_member_is_read_is_not_overwritten(lstm: Lstm, there: Path) -> None:
    before = (there / "x.npz").read_bytes()
    done = lstm("run", *NAMED, "x.npz:x_val", "-o", "x.npz")
    assert done.status == 2
    assert "would be written over x.npz" in done.err
    assert (there / "x.npz").read_bytes() == before


def test_a_missing_value_of_an_option_names_the_help_of_the_command(lstm: Lstm) -> None:
    done = lstm("run", WEIGHTS, INPUTS, "--forget-bias")
    assert done.status == 2
    assert "see `lstm run --help`" in done.err


# ---- inputs under a name of their own


@pytest.mark.parametrize(
    ("members", "taken"),
    [
        (("x_val", "y_val"), "x_val"),
        (("X_test", "y_test", "lengths"), "X_test"),
        (("data",), "data"),
        (("windows", "lengths"), "windows"),
        (("x", "x_val"), "x"),
        (("input", "labels"), "input"),
    ],
)
def test_inputs_go_by_their_name(
    lstm: Lstm, tmp_path: Path, members: tuple[str, ...], taken: str
) -> None:
    x = np.load(INPUTS)
    others = {name: np.array([len(x[0])] * len(x)) for name in members if name != taken}
    np.savez(tmp_path / "data.npz", **others, **{taken: x})  # type: ignore[arg-type]
    expected = lstm("run", WEIGHTS, INPUTS, "-f", "csv").out
    assert lstm("run", WEIGHTS, "data.npz", "-f", "csv").out == expected


def test_inputs_in_a_file_with_weights_go_by_their_name(lstm: Lstm, tmp_path: Path) -> None:
    with np.load(WEIGHTS) as weights:
        kernel, bias = weights["kernel"], weights["bias"]
    np.savez(tmp_path / "all.npz", W=kernel, b=bias, x_val=np.load(INPUTS))
    expected = lstm("run", WEIGHTS, INPUTS, "-f", "csv").out
    assert lstm("run", "all.npz", "-f", "csv").out == expected


def test_several_that_may_be_the_inputs_are_listed(lstm: Lstm, tmp_path: Path) -> None:
    x = np.load(INPUTS)
    np.savez(tmp_path / "data.npz", x_train=x, x_val=x)
    done = lstm("run", WEIGHTS, "data.npz")
    assert (done.status, done.err) == (
        2,
        "lstm run: data.npz has x_train, x_val; which are the inputs? They are named inputs or x, "
        "or typed FILE:MEMBER, as data.npz:x_train.\n",
    )
    assert lstm("run", WEIGHTS, "data.npz:x_train").status == 0


def test_weights_in_the_place_of_the_inputs_are_named(lstm: Lstm) -> None:
    done = lstm("run", INPUTS, WEIGHTS)
    assert done.status == 2
    assert "contains weights (kernel, bias), which come before the inputs." in done.err


def test_a_member_of_python_objects_is_said_to_be_that(lstm: Lstm, tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", a=np.array([{}], dtype=object), b=np.ones(3))
    done = lstm("diff", "o.npz:a", "o.npz:b")
    assert done.status == 2
    assert done.err.startswith("lstm diff: o.npz:a contains Python objects, which are never loaded")


def test_raw_numbers_as_inputs_and_on_both_sides_of_diff(lstm: Lstm, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(np.load(INPUTS).astype("<f4").tobytes())
    np.save(tmp_path / "x.npy", np.load(INPUTS).astype("<f4"))
    shape = "x".join(map(str, np.load(INPUTS).shape))
    done = lstm("run", WEIGHTS, f"x.bin:f32:{shape}", "-f", "csv")
    assert (done.status, done.out) == (0, lstm("run", WEIGHTS, "x.npy", "-f", "csv").out)
    assert lstm("diff", f"x.bin:f32:{shape}", "x.npy").status == 0
    done = lstm("diff", "x.npy", f"x.bin:f32:{np.load(INPUTS).size}")
    assert (done.status, "in a row as (1, 7, 4)" in done.out) == (0, True)
    np.arange(27, dtype="<f4").tofile(tmp_path / "fewer.bin")
    assert lstm("diff", "x.npy", "fewer.bin:f32:27").status == 1
