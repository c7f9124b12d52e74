"""Options of the tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update``: transcripts and documents get what commands show now."""
    parser.addoption("--update", action="store_true", help="write what commands show now")
