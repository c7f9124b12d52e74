"""A figure for a paper, by matplotlib: heat maps of quantities, or one unit's lines.

It is as wide as a column of text; what shares a scale shares a colour bar,
with the colours of the terminal: colour-blind safe, and in order in grey.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import chdir, nullcontext
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

from lstmcli.errors import import_extra, listed
from lstmcli.escaping import one_line
from lstmcli.views.colors import NOT_A_NUMBER, Rgb, Scale
from lstmcli.views.header import file_name
from lstmcli.views.heatmap import Pooling, Quantity, pooled
from lstmcli.views.plot import DIFFERENCE, is_single, quantities, scales

if TYPE_CHECKING:
    from lstmcli.api.plot import Drawable

SUFFIXES = (".png", ".svg", ".pdf")
FIGURE_WIDTH = 3.4  # inches: a column of a two-column page
LINES_TALL, HEAT_TALL = 0.62, 0.75  # inches of one row of axes
MARGIN = 0.7  # inches above and below all of them
DPI = 300
STYLE = {
    "font.size": 7,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "svg.hashsalt": "lstm",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "text.usetex": False,
}
NO_DATE = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
FINEST = (
    1000,
    300,
    "none",
)  # cells across and down, more than a column shows; no half blocks
CHARTS = "hcifgo"  # of one unit, downwards
MAPS = "hcgifo"  # downwards: what shares a scale is adjacent
SETTINGS = "matplotlibrc"
LINE, MARK = "#104ea0", "#b24800"


def figure_of(found: Drawable, pool: str, suffix: str) -> bytes:
    """The file of a figure of what is selected."""
    lines, stream = is_single(found), BytesIO()
    order = CHARTS if lines else MAPS
    drawn = quantities(found)
    drawn.sort(key=lambda q: order.find(q.base))
    of_kind = scales(drawn, [quantity.values for quantity in drawn])
    plan, matplotlib = found.plan, _matplotlib()
    files = found.sources if plan is None else (*plan.model.sources, plan.inputs.name)
    names = listed([*dict.fromkeys(map(file_name, files))], 3)
    title = _plain(f"{names}, batch item {found.item}")
    with matplotlib.rc_context(STYLE):
        tall = len(drawn) * (LINES_TALL if lines else HEAT_TALL) + MARGIN
        figure = import_module("matplotlib.figure").Figure(
            (FIGURE_WIDTH, tall), layout="constrained"
        )
        figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0.04)
        axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        if lines:
            _lines(axes, drawn, of_kind)
        else:
            _heat(figure, axes, drawn, of_kind, pool)
        axes[-1].set_xlabel(_step_label(drawn, pool, lines))
        figure.suptitle(title, fontsize=STYLE["font.size"])
        figure.savefig(stream, format=suffix[1:], dpi=DPI, metadata=NO_DATE[suffix])
    return stream.getvalue()


def _matplotlib() -> Any:
    """The library, with the backend that writes files.

    MPLBACKEND may name one that is not there, and the import reads
    ``./matplotlibrc``, which may belong to another's data.
    """
    named = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    elsewhere = (
        chdir(os.path.dirname(__file__)) if os.path.exists(SETTINGS) else nullcontext()
    )
    try:
        with elsewhere:
            return import_extra("matplotlib", "a figure", "plot")
    finally:
        if named is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = named


def _heat(
    figure: Any,
    axes: Sequence[Any],
    drawn: Sequence[Quantity],
    of_kind: dict[str, Scale],
    pool: str,
) -> None:
    for kind, scale in of_kind.items():
        rows = [
            (axis, q) for axis, q in zip(axes, drawn, strict=True) if q.kind == kind
        ]
        for axis, quantity in rows:
            steps, units = quantity.steps, quantity.units  # at the middles of the cells
            pooling = Pooling.to_fit(quantity.values.shape, *FINEST)
            cells = pooled(quantity.values, pooling, pool)
            image = axis.imshow(
                cells.T,
                aspect="auto",
                interpolation="nearest",
                origin="upper",
                vmin=scale.low,
                vmax=scale.high,
                cmap=_colors(scale),
                extent=(
                    steps[0] - 0.5,
                    steps[-1] + 0.5,
                    units[-1] + 0.5,
                    units[0] - 0.5,
                ),
            )
            axis.set_ylabel(f"{_plain(quantity.name)}\nunit")
            _integers(axis.xaxis, 5)
            _integers(axis.yaxis, 5)
            if quantity.marked:
                step, unit = steps[quantity.marked[0]], units[quantity.marked[1]]
                axis.plot(
                    step, unit, "x", color="black", markersize=4, markeredgewidth=0.8
                )
        bar = figure.colorbar(
            image, ax=[axis for axis, _ in rows], pad=0.02, aspect=8 * len(rows)
        )
        bar.set_label(kind if kind == DIFFERENCE else "")
        bar.outline.set_linewidth(0.5)


def _step_label(drawn: Sequence[Quantity], pool: str, lines: bool) -> str:
    pooling = Pooling.to_fit(drawn[0].values.shape, *FINEST)
    if lines or not pooling.is_needed:
        return "step"
    what = "mean" if pool == "mean" else "farthest from 0"
    return f"step (a cell: {what} of {pooling.steps} x {pooling.units})"


def _plain(name: str) -> str:
    """A name without control characters, whose dollars begin no formula."""
    return one_line(name).replace("$", r"\$")


def _integers(axis: Any, most: int) -> None:
    axis.set_major_locator(
        import_module("matplotlib.ticker").MaxNLocator(most, integer=True)
    )


def _colors(scale: Scale) -> Any:
    colors = import_module("matplotlib.colors").LinearSegmentedColormap
    made = colors.from_list("lstm", [_share(stop) for stop in scale.stops])
    return made.with_extremes(bad=_share(NOT_A_NUMBER))


def _share(rgb: Rgb) -> tuple[float, ...]:
    return tuple(part / 255 for part in rgb)


def _lines(
    axes: Sequence[Any], drawn: Sequence[Quantity], of_kind: dict[str, Scale]
) -> None:
    for axis, quantity in zip(axes, drawn, strict=True):
        scale = of_kind[quantity.kind]
        axis.plot(
            list(quantity.steps),
            quantity.values[:, 0],
            color=LINE,
            linewidth=0.8,
            marker="." if len(quantity.steps) <= 50 else None,
            markersize=3,
        )
        if scale.signed:
            axis.axhline(0, color="0.7", linewidth=0.5, zorder=0)
        margin = 0.06 * (scale.high - scale.low)
        axis.set_ylim(scale.low - margin, scale.high + margin)
        difference = f"\n{DIFFERENCE}" * (quantity.kind == DIFFERENCE)
        axis.set_ylabel(f"{_plain(quantity.name)}[{quantity.units[0]}]{difference}")
        axis.spines[["top", "right"]].set_visible(False)
        _integers(axis.xaxis, 6)
        if quantity.marked:
            axis.axvline(
                quantity.steps[quantity.marked[0]],
                color=MARK,
                linewidth=0.8,
                linestyle="--",
            )
