"""Fixtures of the questions to explain."""

import pytest

from lstmcli.core.explain.budget import Budget


@pytest.fixture
def without_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a question that no setting answers the search for edits, nine tenths of its time."""
    monkeypatch.setattr(Budget, "EDITED", 0)
