"""A figure for a paper, by matplotlib: heat maps of quantities, or one unit's lines.

As wide as a column of text; what shares a scale shares a colour bar; colours are those of the
terminal, which a colour-blind eye tells apart and a grey print keeps in order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, BinaryIO

import numpy.typing as npt

from lstmcli.errors import MissingExtra, UserError
from lstmcli.escaping import one_line
from lstmcli.views.colors import NOT_A_NUMBER, Rgb, Scale
from lstmcli.views.heatmap import Grain, pooled
from lstmcli.views.plot import CHARTS, DIFFERENCE, Cut, Part, Told, parts, scales

Array = npt.NDArray[Any]

SUFFIXES = (".png", ".svg", ".pdf")
WIDE = 3.4  # inches: a column of a two-column page
LINES_TALL, HEAT_TALL = 0.62, 0.75  # inches of one row of axes
MARGIN = 0.55  # inches above and below all of them
DPI = 300
INK = {"font.size": 7, "axes.linewidth": 0.5, "xtick.major.width": 0.5, "ytick.major.width": 0.5,
       "xtick.major.size": 2, "ytick.major.size": 2, "svg.hashsalt": "lstm",
       "svg.fonttype": "none", "pdf.fonttype": 42, "font.family": "sans-serif"}  # fmt: skip
UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
FINEST = (1000, 300, "none")  # cells across and down: more than a column can show
MAPS = "ifoghc"  # from top to bottom: what shares a scale lies together
LINE, MARK = "#104ea0", "#b24800"


def suffix_of(path: str) -> str:
    """The suffix of a figure.

    Raises
    ------
    UserError
        for one that is no picture's.
    """
    suffix = "." + path.rpartition(".")[2].lower()
    if suffix not in SUFFIXES or "." not in path:
        raise UserError(f"{path}: a figure is {', '.join(SUFFIXES)}.")
    return suffix


def draw_figure(
    stream: BinaryIO, suffix: str, arrays: Mapping[str, Array], cut: Cut, told: Told, lines: bool
) -> None:
    """Write a figure of arrays (T, B, H), cut as told, to an open stream.

    Raises
    ------
    UserError
        without matplotlib, or for steps, units or a row that are not there.
    """
    order = CHARTS if lines else MAPS
    own = sorted(parts(arrays, cut, told), key=lambda p: order.find(p.base))
    kinds = scales(own, [part.values for part in own])
    matplotlib = _matplotlib()
    with matplotlib.rc_context(INK):
        tall = len(own) * (LINES_TALL if lines else HEAT_TALL) + MARGIN
        figure = import_module("matplotlib.figure").Figure((WIDE, tall), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0.04)
        axes = figure.subplots(len(own), 1, sharex=True, squeeze=False)[:, 0]
        if lines:
            _lines(axes, own, kinds)
        else:
            _heat(figure, axes, own, kinds, cut.pool)
        axes[-1].set_xlabel(_across(own, cut.pool, lines))
        figure.savefig(stream, format=suffix[1:], dpi=DPI, metadata=UNDATED[suffix])


def _matplotlib() -> Any:
    """The library, with the backend that writes files: MPLBACKEND may name one that is not here."""
    named = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        return import_module("matplotlib")
    except ImportError:
        raise MissingExtra("a figure", "matplotlib", "plot") from None
    finally:
        if named is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = named


def _heat(
    figure: Any, axes: Sequence[Any], own: Sequence[Part], kinds: dict[str, Scale], pool: str
) -> None:
    """A map per quantity, and beside those of one kind its scale."""
    for kind, scale in kinds.items():
        rows = [(axis, part) for axis, part in zip(axes, own, strict=True) if part.kind == kind]
        for axis, part in rows:
            cells = pooled(part.values, Grain.of(part.values.shape, *FINEST), pool)
            image = axis.imshow(
                cells.T, aspect="auto", interpolation="nearest", origin="upper",
                vmin=scale.low, vmax=scale.high, cmap=_colors(scale),
                extent=_extent(part),
            )  # fmt: skip
            axis.set_ylabel(_label(part))
            _whole_numbers(axis)
            if part.marked:
                step, unit = part.steps[part.marked[0]], part.units[part.marked[1]]
                axis.plot(step, unit, "x", color="black", markersize=4, markeredgewidth=0.8)
        bar = figure.colorbar(image, ax=[axis for axis, _ in rows], pad=0.02, aspect=8 * len(rows))
        bar.set_label(kind if kind == DIFFERENCE else "")
        bar.outline.set_linewidth(0.5)


def _across(own: Sequence[Part], pool: str, lines: bool) -> str:
    """What lies across; of a map that had to be pooled, how."""
    grain = Grain.of(own[0].values.shape, *FINEST)
    if lines or not grain.pooled:
        return "step"
    what = "mean" if pool == "mean" else "farthest from 0"
    return f"step (a cell: {what} of {grain.steps} x {grain.units})"


def _extent(part: Part) -> tuple[float, float, float, float]:
    """The edges of the picture, so that a cell's middle has its own numbers."""
    return (part.steps[0] - 0.5, part.steps[-1] + 0.5, part.units[-1] + 0.5, part.units[0] - 0.5)


def _label(part: Part) -> str:
    """``f`` and what it is the number of."""
    return f"{_plain(part.name)}\nunit"


def _plain(name: str) -> str:
    """A name as it stands: without control characters, and no formula between dollars."""
    return one_line(name).replace("$", r"\$")


def _whole_numbers(axis: Any) -> None:
    ticker = import_module("matplotlib.ticker")
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(ticker.MaxNLocator(nbins=5, integer=True))


def _colors(scale: Scale) -> Any:
    colors = import_module("matplotlib.colors").LinearSegmentedColormap
    made = colors.from_list("lstm", [_share(stop) for stop in scale.stops])
    return made.with_extremes(bad=_share(NOT_A_NUMBER))


def _share(rgb: Rgb) -> tuple[float, ...]:
    return tuple(part / 255 for part in rgb)


def _lines(axes: Sequence[Any], own: Sequence[Part], kinds: dict[str, Scale]) -> None:
    """A chart per quantity, those of one kind on one scale."""
    for axis, part in zip(axes, own, strict=True):
        scale = kinds[part.kind]
        few = len(part.steps) <= 50
        axis.plot(
            list(part.steps), part.values[:, 0], color=LINE, linewidth=0.8,
            marker="." if few else None, markersize=3,
        )  # fmt: skip
        if scale.signed:
            axis.axhline(0, color="0.7", linewidth=0.5, zorder=0)
        room = 0.06 * (scale.high - scale.low)
        axis.set_ylim(scale.low - room, scale.high + room)
        axis.set_ylabel(f"{_plain(part.name)}[{part.units[0]}]")
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.set_major_locator(
            import_module("matplotlib.ticker").MaxNLocator(nbins=6, integer=True)
        )
        if part.marked:
            axis.axvline(part.steps[part.marked[0]], color=MARK, linewidth=0.8, linestyle="--")
