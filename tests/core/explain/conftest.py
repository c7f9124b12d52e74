"""Fixtures of the questions to explain."""

import pytest

from lstmcli.core import explain


@pytest.fixture
def without_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a question that no setting answers the search for edits, nine tenths of its time."""
    others = [one for one in explain.PASSES if one.name != "edits"]
    monkeypatch.setattr(explain, "PASSES", others)
