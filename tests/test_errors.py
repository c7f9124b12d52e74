"""Errors: what a message says and that it survives being handed to another process."""

from __future__ import annotations

import pickle

from lstmcli.errors import MissingExtra


def test_a_missing_extra_names_what_needs_it_and_the_command_that_installs_it() -> None:
    error = MissingExtra("writing .onnx", "onnx", "onnx")
    assert error.lines == ("writing .onnx needs onnx:", "  pip install 'lstmcli[onnx]'")


def test_a_missing_extra_survives_pickle() -> None:
    error = MissingExtra("a figure", "matplotlib", "plot")
    assert pickle.loads(pickle.dumps(error)).lines == error.lines
