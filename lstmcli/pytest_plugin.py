"""The pytest plugin: `lstm_golden` compares with a file next to the test, and writes it on request.

Every pytest imports this module where lstmcli is installed, so NumPy, and what
needs it, is imported where the fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

UPDATE = "--lstm-update"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    group = parser.getgroup("lstm", "outputs of LSTMs (lstmcli)")
    group.addoption(
        UPDATE,
        action="store_true",
        help="Write the files that lstm_golden compares with.",
    )


@pytest.fixture
def lstm_golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``lstm_golden(actual)`` compares with ``TESTFILE/TESTNAME.npz`` next to the test file.

    ``actual`` is an array, a tensor, a trace, or a dict of arrays by name; a
    test that compares several names each, as in ``lstm_golden(actual,
    name="second")``. Other arguments are those of
    `lstmcli.testing.assert_lstm_close`. With ``--lstm-update`` the file is
    written instead.
    """
    written: set[Path] = set()

    def compare(actual: Any, *, name: str = "", **given: Any) -> None:
        __tracebackhide__ = True
        from lstmcli.testing import assert_lstm_close, write_golden

        path, here = golden_path(request.node, name), Path.cwd()
        if path in written:
            pytest.fail(
                f"{path.name} was compared in this test: name=... distinguishes two",
                False,
            )
        written.add(path)
        if request.config.getoption(UPDATE):
            write_golden(path, actual)
        elif not path.exists():
            pytest.fail(f"there is no {path}: pytest {UPDATE} writes it", pytrace=False)
        else:
            short = path.relative_to(here) if path.is_relative_to(here) else path
            assert_lstm_close(actual, short, **given)

    return compare


def golden_path(test: pytest.Item, name: str = "") -> Path:
    """``TESTFILE/TESTNAME.npz``; what stands in no file name is quoted as in an address."""
    full = ".".join([*test.nodeid.split("::")[1:], *filter(None, [name])])
    return test.path.with_suffix("") / f"{quote(full, safe='[]=,+')}.npz"
