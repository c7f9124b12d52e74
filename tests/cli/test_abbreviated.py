"""An abbreviated print on the command line: taken where it is compared, refused elsewhere."""

from __future__ import annotations

import json

from tests.cli.conftest import Lstm
from tests.test_abbreviated import FOLDER, net


def test_all_other_commands_refuse_it(lstm: Lstm) -> None:
    weights, text = net("torch")[0], FOLDER / "tensorflow.txt"
    for words in (["run", weights, text], ["inspect", text], ["plot", text]):
        done = lstm(*words)
        assert done.status == 2, words
        assert "the print is abbreviated" in done.err


def test_derive_has_the_numbers_that_are_there(lstm: Lstm) -> None:
    weights = net("torch")[0]
    line = ["derive", weights, "--layout", "batch", "--units", 1, "--against", FOLDER / "torch.txt"]
    assert "agrees     h" in lstm(*line, "--steps", 1).out
    report = json.loads(lstm(*line, "--steps", 39, "-f", "json").out)
    assert "NaN" not in json.dumps(report)
    done = lstm(*line, "--steps", 9)
    assert done.status == 2
    assert "abbreviated, and not the numbers of this place" in done.err
