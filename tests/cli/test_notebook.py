"""The package at a prompt and in a notebook: dir, help, repr and the screens as HTML."""

from __future__ import annotations

import html
import pydoc
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.views.export import DARK, LIGHT
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm
from tests.processes import python

WEIGHTS, INPUTS, EXPECTED = (
    str(SAMPLE / n) for n in ("weights.npz", "inputs.npy", "numpy.txt")
)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two layers of two directions, as PyTorch names them."""
    path = tmp_path_factory.mktemp("nets") / "network.npz"
    np.savez(
        path, **networks.pytorch(3, 4, layers=2, directions=2, bias=False, scale=0.4)
    )
    return str(path)


def results() -> dict[str, Any]:
    model = lstmcli.load(WEIGHTS)
    trace = lstmcli.run(model, INPUTS)
    return {
        "model": model,
        "trace": trace,
        "difference": lstmcli.diff(trace, EXPECTED),
        "explanation": lstmcli.explain(WEIGHTS, INPUTS, EXPECTED),
        "derivation": lstmcli.derive(model, INPUTS, 1, 0, "f"),
    }


def text_of(page: str) -> list[str]:
    """The lines of a fragment."""
    body = page.partition("<pre>")[2].partition("</pre>")[0]
    lines = body.removeprefix("<div>").removesuffix("</div>").split("</div><div>")
    return [html.unescape(re.sub("<[^>]+>", "", line)).rstrip() for line in lines]


def test_dir_has_the_public_names_and_no_other() -> None:
    names = {
        "Model",
        "Trace",
        "UserError",
        "derive",
        "diff",
        "explain",
        "load",
        "run",
        "save",
    }
    assert {*dir(lstmcli)} == names | {"__version__"}
    code = "import lstmcli; print(dir(lstmcli))"  # in a process where none was used
    assert "'load'" in python("-c", code).stdout


def test_help_describes_each_function() -> None:
    text = pydoc.plain(pydoc.render_doc(lstmcli))
    for line in (
        "load(*weights",
        "run(model",
        "diff(a",
        "derive(",
        "explain(",
        "save(trace",
    ):
        name, _, first = line.partition("(")
        assert re.search(rf"\n    {name}\(\s*{re.escape(first)}", text), (
            line
        )  # 3.13 breaks lines
    assert "class Model" in text


def test_a_repr_has_shapes_and_what_was_assumed(network: str) -> None:
    shown = {name: repr(result) for name, result in results().items()}
    assert shown["model"] == (
        "<Model tf1, 4 inputs -> 3 units, forget bias +1, float64; "
        "assumed: convention tf1, forget bias +1>"
    )
    assert shown["trace"] == (
        "<Trace h, c, i, f, g, o (1, 7, 3), final_h, final_c (1, 3), layout batch, float64; "
        "assumed: convention tf1, forget bias +1, layout batch>"
    )
    model = lstmcli.load(network)
    assert repr(model) == (
        "<Model pytorch, 3 inputs -> 4 units, 2 layers, both directions, float64; assumed: no bias>"
    )
    assert repr(lstmcli.run(model, np.ones((2, 3)))) == (
        "<Trace h (2, 8), layer0.h, layer0.c, layer0.i, layer0.f, layer0.g, layer0.o, "
        "layer0_reverse.h, layer0_reverse.c and 16 more (2, 4), final_h, final_c (4, 4), "
        "layout steps, float64; assumed: no bias>"
    )
    h = np.zeros((2, 3))
    assert repr(lstmcli.diff(h, h)) == "<Difference equal: 6 values of h>"
    unlike = "<Difference not comparable: h in different shapes; the first axis of h is time>"
    assert repr(lstmcli.diff(h, np.zeros((2, 4)))) == unlike


def test_a_notebook_shows_the_screen_of_the_command(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    trace = lstmcli.run(lstmcli.load(WEIGHTS), INPUTS)
    lstmcli.save(trace, "a.npz")
    pages = results()
    pages["difference"] = lstmcli.diff("a.npz", EXPECTED)
    Path("EXPECTED").write_text(Path(EXPECTED).read_text())
    commands = {
        "trace": ("run", WEIGHTS, INPUTS),
        "difference": ("diff", "a.npz", EXPECTED),
        "explanation": ("explain", WEIGHTS, INPUTS, "EXPECTED"),
        "derivation": (
            "derive",
            WEIGHTS,
            INPUTS,
            "--steps",
            1,
            "--units",
            0,
            "--gate",
            "f",
        ),
    }
    for name, words in commands.items():
        color = "never" if name == "difference" else "always"  # of a pipe: all columns
        screen = ESCAPE.sub("", lstm(*words, "--color", color).out).splitlines()
        lines = text_of(pages[name]._repr_html_())
        if (
            name == "trace"
        ):  # the header of the command describes the weights and the inputs too
            lines, screen = (part[part.index("") :] for part in (lines, screen))
        if name == "derivation":
            screen = screen[screen.index("") + 1 :]
        assert lines == [line.rstrip() for line in screen], name
    assert "forget bias +1 (not stored in the weights; --forget-bias)" in "".join(
        pages["model"]._repr_html_()
    )


def test_a_page_for_a_notebook_styles_nothing_around_it() -> None:
    for result in results().values():
        page = result._repr_html_()
        style = page.partition("<style>")[2].partition("</style>")[0]
        rules = re.findall(r"^([^@{}\n]+) \{", style, re.M)
        assert rules
        assert all(rule.startswith(".lstmcli") for rule in rules)
        assert page.count("<div") == page.count("</div>")


def test_the_next_call_of_a_difference_names_the_argument_that_is_not_a_file() -> None:
    trace = lstmcli.run(WEIGHTS, INPUTS)
    for sides, name in (((trace, trace.h + 1), "b"), ((trace.h + 1, trace), "a")):
        difference: Any = lstmcli.diff(*sides)
        lines = text_of(difference._repr_html_())
        assert [*filter(None, lines)][
            -1
        ] == f"next       lstmcli.explain(weights, x, {name})"


# ---- contrast


def channels(color: str) -> list[float]:
    values = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, by the formula of WCAG 2.2."""
    r = [
        0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]
        for c in map(channels, (one, other))
    ]
    return (max(r) + 0.05) / (min(r) + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_of_a_written_page_can_be_read(colors: dict[str, str]) -> None:
    for name in colors.keys() - {"ground"}:
        assert contrast(colors[name], colors["ground"]) >= 4.5, name
