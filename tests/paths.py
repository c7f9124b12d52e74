"""Folders of the checkout that tests read."""

from pathlib import Path

TESTS = Path(__file__).parent
TOP = TESTS.parent
