"""The pytest plugin: `lstm_golden` compares with a file next to the test, and writes it on request.

Every pytest start of a project with lstmcli installed imports this module, so it imports NumPy, and
what needs it, where the fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

UPDATE = "--lstm-update"
PLAIN = re.compile(r"[^\w.\[\]=,+-]+")  # what stands in no file name here


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    group = parser.getgroup("lstm", "outputs of LSTMs (lstmcli)")
    group.addoption(
        UPDATE, action="store_true", help="Write the files that lstm_golden compares with."
    )


@pytest.fixture
def lstm_golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``lstm_golden(actual)`` compares with ``TESTFILE/TESTNAME.npz`` next to the test file.

    ``actual`` is an array, a tensor, a trace, or a dict of arrays by name; a test that compares
    several names each, as in ``lstm_golden(actual, name="second")``. Other arguments are those of
    `lstmcli.testing.assert_lstm_close`. With ``--lstm-update`` the file is written instead.
    """
    written: set[Path] = set()

    def compare(actual: Any, *, name: str = "", **given: Any) -> None:
        __tracebackhide__ = True
        from lstmcli.testing import assert_lstm_close, write_golden

        path = golden_path(request.node, name)
        if path in written:
            pytest.fail(f"{path.name} was compared in this test: name=... distinguishes two", False)
        written.add(path)
        if request.config.getoption(UPDATE):
            write_golden(path, actual)
        elif not path.exists():
            pytest.fail(f"there is no {path}: pytest {UPDATE} writes it", pytrace=False)
        else:
            assert_lstm_close(actual, path, **given)

    return compare


def golden_path(test: pytest.Item, name: str = "") -> Path:
    """``TESTFILE/TESTNAME.npz``; two names that differ only in what no file is called differ."""
    name_of_test = ".".join([*test.nodeid.split("::")[1:], *filter(None, [name])])
    plain = PLAIN.sub("_", name_of_test)
    if plain != name_of_test:
        plain += f"-{crc32(name_of_test.encode()):08x}"
    return test.path.with_suffix("") / f"{plain}.npz"
