"""The pages of ``--page`` in Chromium: each control, each key, both colour schemes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.model.arrays import Array
from tests import networks
from tests.browser.conftest import findings
from tests.cli.conftest import SAMPLE, Lstm, lstm
from tests.paths import TOP

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("lstm")]
__all__ = ["lstm"]

QUESTION = TOP / "samples" / "question"
PAIR = (QUESTION / "tensorflow.txt", QUESTION / "numpy.txt")
RUN = (SAMPLE / "weights.npz", SAMPLE / "inputs.npy")
LEFT, ABOVE, WIDE, TALL = (
    42,
    12,
    30,
    18,
)  # pixels of a map: before its cells, and of a cell
Open = Callable[..., Any]


@pytest.fixture
def page_of(chromium: Any, lstm: Lstm) -> Iterator[Open]:
    """Write the page of a command and open it; there must be no request, error or dialog."""
    found: list[str] = []

    def opened(*words: Any, width: int = 1100, **options: Any) -> Any:
        done = lstm(*words, "--page", "page.html")
        assert done.status in (0, 1), done.err
        viewport = {"width": width, "height": 900}
        context = chromium.new_context(viewport=viewport, **options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on("console", lambda one: found.extend([one.text] * (one.type == "error")))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", lambda dialog: found.append(dialog.message))
        page.on("request", lambda request: found.append(request.url.partition(",")[0]))
        page.goto(Path("page.html").absolute().as_uri())
        return page

    yield opened
    assert {one for one in found if not one.startswith("data:")} == {
        Path("page.html").absolute().as_uri()
    }


def canvas(page: Any, name: str) -> Any:
    """The map of an array."""
    return page.locator("#maps figure").filter(has=page.locator(f"b:text-is('{name}')"))


def at(step: int, unit: int) -> dict[str, float]:
    """The middle of a cell, in pixels of its map."""
    return {"x": LEFT + (step + 0.5) * WIDE, "y": ABOVE + (unit + 0.5) * TALL}


def value(page: Any, name: str) -> str:
    """The value that is shown at a map."""
    return str(canvas(page, name).locator(".value").text_content())


def network(layers: int = 2) -> tuple[Array, lstmcli.Trace]:
    """Weights and inputs in files, the inputs, and the run."""
    x = np.random.default_rng(0).normal(size=(3, 7, 4))
    np.savez("w.npz", **networks.pytorch(4, 5, layers=layers))
    np.save("x.npy", x)
    return x, lstmcli.run(lstmcli.load("w.npz"), x, layout="batch")


def test_controls_choose_the_layer_the_sequence_and_the_array(
    page_of: Open, lstm: Lstm
) -> None:
    _, trace = network()
    page = page_of("plot", "w.npz", "x.npy", "--layout", "batch")
    assert page.locator("#maps figure").count() == 1  # h, the output
    page.select_option("#cell", label="layer1")
    assert page.locator("#maps figure").count() == 6
    page.select_option("#item", "2")
    page.fill("#step", "3")
    page.fill("#unit", "4")
    page.locator("#unit").blur()
    for name in ("h", "c", "i", "f", "g", "o"):
        expected = trace.arrays[f"layer1.{name}"][2, 3, 4]
        assert value(page, f"layer1.{name}") == f"{expected:.8f}"
    page.select_option("#array", "f")
    assert page.locator("#maps figure").count() == 1
    page.click("#copy")
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.endswith("--batch 2 --cell layer1 --only f")
    assert page.locator("#copied").text_content() == "Copied."
    shown = lstm(*shlex.split(command)[1:])
    assert (shown.status, "layer1.f  forget gate" in shown.out) == (0, True)
    assert "item 2 of 3" in shown.out


def test_keys_go_from_cell_to_cell(page_of: Open) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    np.save("x.npy", x)
    h = lstmcli.run(lstmcli.load(RUN[0]), x).h
    page = page_of("plot", RUN[0], "x.npy")
    canvas(page, "h").locator("canvas").focus()
    step, unit = 0, 0
    moves = {
        "ArrowRight": (1, 0), "ArrowDown": (0, 1), "PageDown": (10, 0), "ArrowLeft": (-1, 0),
        "End": (99, 0), "PageUp": (-10, 0), "ArrowUp": (0, -1), "Home": (-99, 0),
    }  # fmt: skip
    for key, (steps, units) in moves.items():
        page.keyboard.press(key)
        step, unit = np.clip(step + steps, 0, 29), np.clip(unit + units, 0, 2)
        expected = f"step {step}, unit {unit}: h {h[step, unit]:.8f}"
        assert page.locator("#place").text_content() == expected
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert str(page.locator("#place").text_content()).startswith("step 29, unit 0: c ")
    assert page.locator("#step").input_value() == "29"


def test_pointing_shows_values_and_a_click_chooses(page_of: Open) -> None:
    a, b = (
        np.loadtxt(path.read_text().translate({91: " ", 93: " "}).split("\n"))
        for path in PAIR
    )
    page = page_of("plot", *PAIR)
    drawn = canvas(page, "h").locator("canvas")
    drawn.hover(position=at(5, 2))
    both = f"a {a[5, 2]:.8f}, b {b[5, 2]:.8f}"
    difference = f"{a[5, 2] - b[5, 2]:.2e}".replace("e-0", "e-")
    place = page.locator("#place")
    assert place.text_content() == f"step 5, unit 2: h {both}, a - b {difference}"
    page.mouse.move(0, 0)
    assert str(place.text_content()).startswith("step 1, unit 0: ")
    drawn.click(position=at(3, 1))
    assert page.locator("#lines-title").text_content() == "Unit 1 over the steps"
    assert page.locator("#units-title").text_content() == "Units of h at step 3"
    units = [
        int(text) for text in page.locator("#units tbody button").all_text_contents()
    ]
    assert units == np.argsort(-abs(a[3] - b[3])).tolist()
    page.locator("#units tbody button").first.click()
    assert (
        page.locator("#lines-title").text_content() == f"Unit {units[0]} over the steps"
    )
    page.select_option("#view", label="side by side")
    assert page.locator("#maps figure").count() == 3
    assert page.locator("#lines .line").count() == 6  # of two charts, and of their keys


def test_the_first_difference_is_marked_and_jumped_to(page_of: Open) -> None:
    h = np.random.default_rng(0).normal(size=(2, 9, 5))
    other = h.copy()
    other[1, 4, 3] += 1e-3
    np.savez("a.npz", h=h, meta='{"layout": "batch"}')
    np.savez("b.npz", h=other, meta='{"layout": "batch"}')
    page = page_of("plot", "a.npz", "b.npz")
    page.select_option("#item", "0")
    page.fill("#step", "0")
    button = page.locator("#first")
    assert button.text_content() == "First difference: h, step 4, unit 3"
    button.click()
    assert page.locator("#item").input_value() == "1"
    assert str(page.locator("#place").text_content()).startswith("step 4, unit 3: h a ")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    x, y = LEFT + 4.5 * WIDE, ABOVE / 2 - 2
    r, g, _ = pixel(page, x, y)
    assert r > 150 > g


def pixel(page: Any, x: float, y: float, name: str = "h") -> list[int]:
    """The colour of a pixel of a map."""
    code = "(c, [x, y]) => [...c.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
    found: list[int] = canvas(page, name).locator("canvas").evaluate(code, [x, y])
    return found


def test_maps_have_the_colours_of_the_terminal(page_of: Open, lstm: Lstm) -> None:
    page = page_of("plot", *RUN)
    svg = lstm("plot", *RUN, "--only", "f", "--svg", "f.svg")
    assert svg.status == 0
    cells = [
        line for line in Path("f.svg").read_text().splitlines() if 'fill="#' in line
    ][:21]
    colors = [line.partition('fill="#')[2][:6] for line in cells]
    for n in (1, 9, 20):  # not the chosen one, which has a frame
        unit, step = divmod(n, 7)
        place = at(step, unit)
        found = "".join(
            f"{part:02x}" for part in pixel(page, place["x"], place["y"], "f")
        )
        assert found == colors[n]


def test_the_page_of_explain_shows_expected_next_to_both_runs(
    page_of: Open, lstm: Lstm
) -> None:
    page = page_of("explain", *RUN, SAMPLE / "numpy.txt")
    assert page.locator("pre.wide").inner_text().startswith("✔ One change explains")
    labels = page.locator("#maps figcaption span:not(.value)").all_text_contents()
    sides = ("EXPECTED", "as loaded", "with the changes")
    runs = [f"{side} - EXPECTED" for side in sides[1:]]
    assert labels == [f"output · {side}" for side in (*sides, *runs)]
    page.select_option("#view", label="with the changes")
    command = str(page.locator("#command").text_content())
    assert command.endswith("--forget-bias 0")
    assert lstm(*shlex.split(command)[1:]).status == 0
    page.select_option("#view", label="as loaded")
    page.select_option("#array", "c")
    assert str(page.locator("#command").text_content()).endswith("inputs.npy --only c")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_both_schemes_are_accessible_at_any_width(
    page_of: Open, scheme: str, width: int
) -> None:
    network()
    grounds = []
    for words in (
        ("plot", *PAIR),
        ("explain", *RUN, SAMPLE / "numpy.txt"),
        ("plot", "w.npz", "x.npy"),
    ):
        page = page_of(*words, width=width, color_scheme=scheme, bypass_csp=True)
        assert [(one["id"], one["nodes"][0]["html"]) for one in findings(page)] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        grounds.append(
            page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        )
    assert {sum(map(int, ground[4:-1].split(", "))) > 384 for ground in grounds} == {
        scheme == "light"
    }


def test_without_javascript_the_answer_and_maps_are_there(page_of: Open) -> None:
    page = page_of("plot", *PAIR, java_script_enabled=False)
    assert "h differs, first at step 1, unit 0" in page.locator("pre.wide").inner_text()
    maps = page.locator("noscript pre").inner_text()
    assert [maps.count(text) for text in ("h  output", "0▶", "a - b")] == [3, 3, 2]
    assert not page.locator("#controls").is_visible()


def test_hostile_names_and_numbers_are_shown(page_of: Open) -> None:
    name = "</script><img src=x onerror=alert(1)>"
    h = np.array([[1.0, np.nan], [np.inf, -np.inf], [1e-30, 0.25]])
    np.savez("odd.npz", **{f"{name}.0.h": h, f"{name}.1.h": h})  # type: ignore[arg-type]
    page = page_of("plot", "odd.npz")
    assert page.locator("img").count() == 0
    title = str(page.locator("#maps b").first.text_content())
    assert (name in title, title.endswith(".h")) == (True, True)
    for step, unit, text in (
        (0, 1, "nan"),
        (1, 0, "inf"),
        (1, 1, "-inf"),
        (2, 0, "1.00000000e-30"),
    ):
        page.locator("canvas").first.hover(position=at(step, unit))
        assert page.locator(".value").first.text_content() == text


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (100_000, 1, 1), (40, 1, 4096), (2, 9, 3, 5)]
)
def test_any_size_can_be_looked_at(page_of: Open, shape: tuple[int, ...]) -> None:
    h = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.savez("h.npz", h=h)
    page = page_of("plot", "h.npz")
    page.locator("canvas").first.focus()
    page.keyboard.press("End")
    last = h[..., 0, 0] if h.ndim == 3 else h[0, :, 0, 0]
    assert page.locator(".value").first.text_content() == f"{last[-1]:.8f}"
    if shape[-1] > 24:
        assert page.locator("#units tbody tr").count() == 24
        page.click("#all")
        assert page.locator("#units tbody tr").count() == shape[-1]
