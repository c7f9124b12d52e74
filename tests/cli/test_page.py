"""``--page`` of plot and explain: what the file contains, whatever is drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm
from tests.cli.page import Page
from tests.paths import TOP

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
QUESTION = TOP / "samples" / "question"
A, B = QUESTION / "tensorflow.txt", QUESTION / "numpy.txt"
NAMES = ("h", "c", "i", "f", "g", "o")
RNG = np.random.default_rng


def test_a_run_has_all_arrays_and_batch_items(lstm: Lstm) -> None:
    x = RNG(0).normal(size=(3, 5, 4))
    np.save("x.npy", x)
    done = lstm("plot", WEIGHTS, "x.npy", "--layout", "batch", "--page", "page.html")
    assert (done.status, done.out) == (0, "")
    page, trace = (
        Page("page.html"),
        lstmcli.run(lstmcli.load(WEIGHTS), x, layout="batch"),
    )
    planes = dict(page.planes())
    assert [*planes] == [*NAMES]
    for name, values in planes.items():
        np.testing.assert_allclose(values, trace.arrays[name], rtol=0, atol=5e-9)
    assert page.data["items"] == [0, 1, 2]
    assert "forget bias +1" in page.texts["span"]
    part = ("--only", "f,z", "--steps", "1:4", "--units", "0,2", "--batch", "-1")
    lstm("plot", WEIGHTS, "x.npy", "--layout", "batch", "--page", "part.html", *part)
    found = dict(Page("part.html").planes())
    assert [*found] == ["f", "z_i", "z_f", "z_g", "z_o"]
    expected = trace.arrays["f"][2:, 1:4, ::2]
    np.testing.assert_allclose(found["f"], expected, rtol=0, atol=5e-9)


def test_a_difference_has_both_sides_and_where_they_first_differ(lstm: Lstm) -> None:
    assert lstm("plot", A, B, "--page", "page.html").status == 0
    page = Page("page.html")
    sides = [
        np.loadtxt(re.sub(r"[\[\]]", "", p.read_text()).split("\n")) for p in (A, B)
    ]
    sides = [side.reshape(1, 7, 3) for side in sides]
    for label, expected in zip(
        ("a", "b", "a - b"), (*sides, sides[0] - sides[1]), strict=True
    ):
        ((name, values),) = page.planes(label)
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=5e-10)
        assert name == "h"
    first = page.data["first"]
    assert [first[k] for k in ("focus", "item", "step", "unit")] == ["h", 0, 1, 0]
    assert (
        "h differs, first at step 1, unit 0: a -0.04818152, b -0.01461723"
        in page.texts["span"]
    )
    for words in ((A, A), (A, B, "--steps", "2:"), (A, B, "--units", "1:")):
        assert lstm("plot", *words, "--page", "other.html").status == 0
        assert Page("other.html").data["first"] is None


def test_explain_shows_expected_next_to_the_runs(lstm: Lstm) -> None:
    asked = ("explain", WEIGHTS, INPUTS, SAMPLE / "numpy.txt")
    done, alone = lstm(*asked, "--page", "page.html"), lstm(*asked)
    assert done == alone._replace(err="wrote page.html\n")
    page, x = Page("page.html"), np.load(INPUTS)
    views = {}
    for label, bias in (("as loaded", 1.0), ("with the changes", 0.0)):
        views[label] = dict(page.planes(label))
        trace = lstmcli.run(lstmcli.load(WEIGHTS, forget_bias=bias), x)
        for name in NAMES:
            np.testing.assert_allclose(
                views[label][name], trace.arrays[name], rtol=0, atol=5e-9
            )
    ((name, expected),) = page.planes("EXPECTED")
    np.testing.assert_allclose(
        expected, views["with the changes"][name], rtol=0, atol=5.1e-9
    )
    ((_, difference),) = page.planes("as loaded - EXPECTED")
    np.testing.assert_allclose(
        difference, views["as loaded"]["h"] - expected, rtol=1e-5, atol=1e-8
    )
    assert page.data["first"]["step"] == 1
    assert "One change explains the difference" in page.texts["span"]


EDITS = {"edit": "equations.h=tanh_of_oc", "file": "state.array=@state.npz"}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["final", "part", "layout", "layer0", "none", *EDITS])
def test_explain_shows_what_can_be_drawn_of_any_answer(lstm: Lstm, what: str) -> None:
    x = np.load(INPUTS) if what in EDITS else RNG(1).normal(size=(6, 6, 4))
    np.save("x.npy", x)
    np.savez(
        "w.npz", **networks.pytorch(4, 3, layers=1 + (what == "layer0"), scale=0.5)
    )
    np.savez("state.npz", h=[[0.3, -0.2, 0.1]], c=[[1.0, -0.5, 0.2]])
    model = lstmcli.load("w.npz", edits=[EDITS[what]] if what in EDITS else [])
    trace = lstmcli.run(model, x, layout="time" if what == "layout" else "batch")
    h = RNG(2).normal(size=(*x.shape[:2], 3)) if what == "none" else trace.h
    h = (
        trace.arrays["layer0.h"]
        if what == "layer0"
        else h[:, :4]
        if what == "part"
        else h
    )
    np.save("e.npy", trace.final_h if what == "final" else h)
    Path("state.npz").unlink()
    done = lstm(
        "explain", "w.npz", "x.npy", "e.npy", "--layout", "batch", "--page", "page.html"
    )
    assert done.status == (what == "none"), done.out
    page = Page("page.html")
    labels = [view["label"] for view in page.data["views"]]
    assert labels[:2] == ["EXPECTED", "as loaded"]
    assert page.data["cells"][0]["label"] == (
        "layer0" if what == "layer0" else "output"
    )
    assert ("with the changes" in labels) == (what in ("layout", "layer0", *EDITS))
    if "with the changes" in labels:
        difference = dict(page.planes("with the changes - EXPECTED"))["h"]
        np.testing.assert_allclose(difference, 0, atol=1e-6)
    assert ("where EXPECTED has no number" in page.texts["span"]) == (what == "part")
    if what == "part":
        known = dict(page.planes("EXPECTED"))["h"]
        np.testing.assert_allclose(known[:, :4], h, atol=1e-12)
        assert np.isnan(known[:, 4:]).all()
    if what == "final":
        np.testing.assert_allclose(
            dict(page.planes("EXPECTED"))["final_h"][:, 0], trace.final_h
        )


HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "\u2028\u202e'\"&lt;",
    "$title",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_from_files_are_text(lstm: Lstm, name: str) -> None:
    plain = RNG(0).normal(size=(2, 3))
    arrays: dict[str, Any] = {"layer0.h": plain, "layer1.f": abs(plain) / 9}
    np.savez("plain.npz", **arrays)
    lstm("plot", "plain.npz", "--page", "plain.html")
    file = f"{name.replace('/', '')}.npz"
    arrays = {f"{name}.h": plain, f"{name}.1.f": abs(plain) / 9}
    np.savez(file, **arrays)
    assert lstm("plot", file, "--page", "page.html").status == 0
    assert lstm("plot", file, "plain.npz", "--page", "two.html").status in (0, 2)
    page = Page("page.html")
    assert page.names() <= Page("plain.html").names()
    assert not any(
        key.startswith("on") for _, attributes in page.tags for key in attributes
    )
    assert "\u202e" not in Path("page.html").read_text("utf-8")
    policy = next(dict(a)["content"] for t, a in page.tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4), (9, 1, 1), (2, 9, 3, 5)])
def test_any_shape_is_drawn(lstm: Lstm, shape: tuple[int, ...]) -> None:
    h = RNG(0).normal(size=shape)
    h.flat[0] = np.nan
    h.flat[-1] = -np.inf
    np.savez("h.npz", h=h)
    assert lstm("plot", "h.npz", "--page", "page.html").status == 0
    values = np.concatenate(
        [values.ravel() for _, values in Page("page.html").planes()]
    )
    np.testing.assert_allclose(np.sort(values), np.sort(h.ravel()), rtol=1e-12)


@pytest.mark.parametrize(("steps", "is_said"), [(2, False), (60_000, True)])
def test_numbers_beyond_float32_are_reported(
    lstm: Lstm, steps: int, is_said: bool
) -> None:
    h = np.ones((steps, 2))
    h[:2] = [[1e300, 1.0], [-1e39, np.inf]]
    np.savez("h.npz", h=h)
    lstm("plot", "h.npz", "--page", "page.html")
    said = "Beyond float32, and shown as infinite: 2 numbers."
    assert (said in Page("page.html").texts["p"]) == is_said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "count", "most", "pooling"),
    [
        ((1000, 1, 256), 8, 12e6, [1, 1]),
        ((100_000, 1, 64), 6, 20e6, [11, 1]),
        ((100_000, 1, 1), 6, 20e6, [1, 1]),
        ((500, 1, 4096), 6, 20e6, [1, 4]),
        ((100, 200, 64), 6, 20e6, [2, 2]),
    ],
)
@pytest.mark.parametrize("pool", ["mean", "extreme"])
def test_a_page_has_at_most_20_megabytes(
    lstm: Lstm,
    shape: tuple[int, ...],
    count: int,
    most: float,
    pooling: list[int],
    pool: str,
) -> None:
    names = ("h", "c", "i", "f", "g", "o", "layer1.h", "layer1.c")[:count]
    array = RNG(0).normal(size=shape).astype(np.float32)
    arrays: dict[str, Any] = dict.fromkeys(names, array)
    np.savez("t.npz", **arrays, meta='{"layout": "time"}')
    assert lstm("plot", "t.npz", "--pool", pool, "--page", "page.html").status == 0
    page = Page("page.html")
    assert page.size <= most
    assert page.data["pooling"] == pooling
    text = "Pooled: a cell is the" in page.texts.get("p", "")
    assert text == (pooling != [1, 1])
    cells = next(values for _, values in page.planes())
    steps, units = pooling
    part = array[:steps, 0, :units]
    expected = (
        part.mean(dtype=float) if pool == "mean" else part.flat[np.abs(part).argmax()]
    )
    assert cells[0, 0, 0] == pytest.approx(expected, rel=1e-6)


def test_batch_items_beyond_a_limit_are_left_out(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstmcli.cli.plot.MOST_NUMBERS", 3 * 5 * 6 * 3)
    x = RNG(0).normal(size=(8, 5, 4))
    np.save("x.npy", x)
    run = ("plot", WEIGHTS, "x.npy", "--layout", "batch", "--page")
    lstm(*run, "page.html")
    page = Page("page.html")
    assert page.data["items"] == [0, 1, 2]
    assert "The first 3 of 8 batch items." in page.texts["p"]
    lstm(*run, "one.html", "--batch", 7)
    h = lstmcli.run(lstmcli.load(WEIGHTS), x, layout="batch").h
    np.testing.assert_allclose(dict(Page("one.html").planes())["h"][0], h[7], atol=5e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("plot", A, "--page", "page.txt"),
            "--page page.txt: takes a name that ends in .html",
        ),
        (
            ("plot", A, "--page", "no/p.html"),
            "no/p.html cannot be written: there is no folder no.",
        ),
        (
            ("plot", "in.html", "--page", "in.html"),
            "in.html would be written over in.html",
        ),
        (("plot", A, "--page", "p.html", "--svg", "p.svg"), "shows no screen to save"),
        (("plot", A, "--page", "p.html", "-o", "p.html"), "would be written over"),
    ],
)
def test_bad_page_options_are_refused(
    lstm: Lstm, words: tuple[object, ...], message: str
) -> None:
    Path("in.html").write_bytes(A.read_bytes())
    done = lstm(*words)
    assert (done.status, message in done.err) == (2, True), done.err
    assert not Path("p.html").exists()


@pytest.mark.slow
def test_a_page_is_written_next_to_other_outputs(lstm: Lstm) -> None:
    pytest.importorskip("matplotlib")
    lstm("plot", WEIGHTS, INPUTS, "-o", "alone.svg")
    assert lstm("plot", WEIGHTS, INPUTS, "-o", "p.svg", "--page", "p.html").out == ""
    assert Path("p.svg").read_bytes() == Path("alone.svg").read_bytes()
    asked = ("explain", WEIGHTS, INPUTS, SAMPLE / "numpy.txt", "--page", "q.html")
    assert lstm(*asked, "-q") == (0, "", "")
    assert lstm(*asked, "-f", "json").out.startswith("{")
    assert Page("p.html").data["first"] is None
    assert Page("q.html").data["first"] is not None
