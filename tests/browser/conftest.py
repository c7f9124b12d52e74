"""Chromium, which `.ci/run browser` installs with playwright, and axe-core, named by AXE."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, without what it would ask of the network."""
    from playwright.sync_api import sync_playwright

    path, quiet = (
        shutil.which("chromium"),
        ["--no-sandbox", "--disable-background-networking"],
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()


def findings(page: Any) -> list[dict[str, Any]]:
    """The violations that axe-core finds in a page."""
    page.evaluate(Path(os.environ["AXE"]).read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run({resultTypes: ['violations']})"
    )["violations"]
    return found
