"""``lstm plot``: what is drawn of traces, runs and differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.load import load
from lstmcli.api.plot import plot
from tests.cli.conftest import SAMPLE, Lstm
from tests.cli.test_scale import network
from tests.paths import TOP
from tests.processes import python

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
QUESTION = TOP / "samples" / "question"


@pytest.mark.parametrize("suffix", ["npz", "json", "jsonl", "csv", "npy", "txt"])
def test_plot_draws_every_format_that_run_writes(lstm: Lstm, suffix: str) -> None:
    lstm("run", WEIGHTS, INPUTS, "-o", f"trace.{suffix}")
    of_run = lstm("plot", WEIGHTS, INPUTS, "--only", "h").out
    done = lstm("plot", f"trace.{suffix}", "--only", "h")
    assert done.status == 0
    assert _cells(done.out) == _cells(of_run)


def test_a_trace_comes_through_a_pipe_and_so_do_weights(lstm: Lstm) -> None:
    h = lstm("run", WEIGHTS, INPUTS, "-f", "text").out
    assert _cells(lstm("plot", "-", stdin=h.encode()).out)
    piped = lstm("plot", "-", INPUTS, "--only", "h", stdin=WEIGHTS.read_bytes())
    assert _cells(piped.out) == _cells(lstm("plot", WEIGHTS, INPUTS, "--only", "h").out)


@pytest.mark.parametrize("item", [0, 130, -1])
def test_a_run_contains_the_sequence_that_is_drawn_with_the_bits_of_the_full_run(
    tmp_path: Path, item: int
) -> None:
    network(tmp_path / "w.npz", 9, 66, layers=2)
    x = np.random.default_rng(0).normal(size=(131, 7, 9)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    paths = (str(tmp_path / "w.npz"), str(tmp_path / "x.npy"))
    lengths = "2," + "7," * 129 + "5"
    found = plot(paths, layout="batch", batch=item, lengths=lengths)
    whole = run(
        load(paths[0]), x, layout="batch", lengths=np.array(lengths.split(","), int)
    )
    assert found.batch == 131
    assert found.arrays.keys() == whole.arrays.keys()
    for name, array in found.arrays.items():
        np.testing.assert_array_equal(array, whole.time_major(name)[:, [item]])


@pytest.mark.parametrize(
    "chosen", [("--steps", "3:6"), ("--batch", "1,2"), ("--steps", "4")]
)
def test_a_part_of_a_run_is_drawn_by_its_numbers(
    lstm: Lstm, net: Path, chosen: tuple[str, str]
) -> None:
    lstm("run", net, "-o", "full.npz")
    lstm("run", net, "-o", "part.npz", *chosen)
    item = ("--batch", 2 if chosen[0] == "--batch" else 0)
    steps = chosen if chosen[0] == "--steps" else ()
    for only in ("h", "z"):
        lstm("run", net, "-o", "full.npz", "--only", f"h,{only}")
        lstm("run", net, "-o", "part.npz", "--only", f"h,{only}", *chosen)
        full = lstm("plot", "full.npz", "--only", only, *steps, *item)
        part = lstm("plot", "part.npz", "--only", only, *item)
        assert part.out.split("\n\n")[1:-1] == full.out.split("\n\n")[1:-1] != []
    assert "equal: all values agree" in lstm("plot", "part.npz", "full.npz").out


def test_flat_weights_of_any_name_are_run(lstm: Lstm) -> None:
    rng = np.random.default_rng(0)
    np.savez("flat.npz", everything=rng.normal(size=4 * 3 * (4 + 3 + 2)))
    settings = ("--convention", "cudnn-flat", "--set", "flat_units=3")
    assert lstm("run", "flat.npz", INPUTS, *settings).status == 0
    done = lstm("plot", "flat.npz", INPUTS, *settings)
    assert (
        done.status,
        done.out.startswith("weights    flat.npz · weight_ih_l0 (12, 4)"),
    ) == (
        0,
        True,
    )


@pytest.mark.wide
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_figure_is_the_same_each_time(lstm: Lstm, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one", "other"):
        assert lstm("plot", WEIGHTS, INPUTS, "-o", f"{name}.{suffix}") == (0, "", "")
    one = Path(f"one.{suffix}").read_bytes()
    assert one[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    assert one == Path(f"other.{suffix}").read_bytes()


@pytest.mark.slow
def test_a_figure_shows_the_numbers(lstm: Lstm) -> None:
    pytest.importorskip("matplotlib")
    assert lstm("plot", WEIGHTS, INPUTS, "-o", "plot.svg", "--only", "h,f").status == 0
    svg = Path("plot.svg").read_text()
    assert [word in svg for word in (">step<", ">unit<", ">f<", ">h<")] == [True] * 4
    assert lstm("plot", WEIGHTS, INPUTS, "-o", "lines.svg", "--units", 2).status == 0
    assert ">f[2]<" in Path("lines.svg").read_text()
    a, b = (QUESTION / name for name in ("tensorflow.txt", "numpy.txt"))
    assert lstm("plot", a, b, "-o", "lines.svg", "--units", 2).status == 0
    assert ">a - b<" in Path("lines.svg").read_text()


def _cells(out: str) -> list[str]:
    """The lines of a picture."""
    lines = out.splitlines()
    top = next(
        n for n, line in enumerate(lines) if line.strip().startswith("h  output")
    )
    return lines[top : lines.index("", top)]


@pytest.mark.slow
def test_a_figure_obeys_no_settings_of_the_current_folder(tmp_path: Path) -> None:
    """matplotlib reads them as it is imported: with text.usetex it would start latex.

    MPLBACKEND names what it shows windows with; a file has no use for it.
    """
    pytest.importorskip("matplotlib")
    files = []
    for folder in (tmp_path / "with", tmp_path / "without"):
        folder.mkdir()
        if folder.name == "with":
            (folder / "matplotlibrc").write_text(
                "text.usetex: True\nfont.size: 30\nnonsense\n"
            )
        words = ("plot", WEIGHTS, INPUTS, "-o", "plot.svg")
        done = python("-m", "lstmcli", *words, cwd=folder, MPLBACKEND="foo")
        assert (done.returncode, done.stdout, done.stderr) == (
            0,
            "",
            "wrote plot.svg\n",
        )
        files.append((folder / "plot.svg").read_bytes())
    assert files[0] == files[1]
