"""Folders that tests read."""

from pathlib import Path

import lstmcli

TESTS = Path(__file__).parent
TOP = TESTS.parent
PACKAGE = Path(
    lstmcli.__file__
).parent  # in the checkout, or where a wheel was installed
