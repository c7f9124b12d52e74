"""The built site in Chromium: every page, link and anchor, both colour schemes, two widths."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.browser.conftest import findings
from tests.paths import TOP

pytestmark = pytest.mark.browser
ANCHORS = "[...document.querySelectorAll('[id]')].map(one => one.id)"
Open = Callable[..., Iterator[tuple[str, Any]]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder that `mkdocs build` writes, and its address."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(folder)]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def opened(chromium: Any, site: tuple[Path, str]) -> Iterator[Open]:
    """Open each page with options of the browser; no error, and no request but to the site."""
    folder, address = site
    wrong: list[str] = []

    def pages(width: int = 1280, **options: Any) -> Iterator[tuple[str, Any]]:
        page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda one: wrong.extend([one.url] * (not one.url.startswith(known))),
        )
        page.on("response", lambda one: wrong.extend([one.url] * (one.status >= 400)))
        for path in sorted(
            {*folder.rglob("*.html")} - {*folder.glob("pages/*")}
        ):  # of test_page
            name = str(path.relative_to(folder))
            page.goto(address + name)
            yield name, page

    known = address, "data:"
    yield pages
    assert wrong == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page_can_be_read(scheme: str, width: int, opened: Open) -> None:
    wrong: list[tuple[str, ...]] = []
    for name, page in opened(width, color_scheme=scheme):
        found = [
            (name, one["id"], one["nodes"][0]["html"])
            for one in findings(page)
            if one["impact"] in ("serious", "critical")
        ]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(", "))) > 384) == (scheme == "light")
        fits = page.evaluate("document.documentElement.scrollWidth") <= width
        wrong += found if fits else [(name, "wider than the window"), *found]
    assert not wrong, "\n".join(map(str, wrong))


def test_every_link_and_anchor_leads_somewhere(
    opened: Open, site: tuple[Path, str]
) -> None:
    folder, address = site
    links, anchors = dict[str, str](), dict[str, list[str]]()

    def is_there(target: str, anchor: str) -> bool:
        return anchor in anchors.get(target, ()) or (
            not anchor and (folder / target).is_file()
        )

    for name, page in opened():
        anchors[name] = ["", *page.evaluate(ANCHORS)]
        links |= dict.fromkeys(
            page.evaluate("[...document.links].map(link => link.href)"), name
        )
    assert len(anchors) > len([*(TOP / "docs").rglob("*.md")])
    broken = [
        (name, link)
        for link, name in links.items()
        if link.startswith(address)
        and not is_there(*link[len(address) :].partition("#")[::2])
    ]
    assert not broken


def test_the_search_finds_a_page(chromium: Any, site: tuple[Path, str]) -> None:
    page = chromium.new_page()
    page.goto(f"{site[1]}index.html")
    page.fill("input[name=query]", "forget_bias")
    page.locator(".md-search-result__link").first.wait_for()
