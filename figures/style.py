"""How every figure looks: one label, colour, marker and line style for each method.

The colours are from Okabe and Ito's set, which colour-blind readers can tell apart;
they differ in lightness too, and markers and line styles tell the methods apart in
grey.
"""

import math
import os
import textwrap
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, LogFormatter, LogLocator

from results import LABELS

# The report prints figures as large as they are drawn, so a size in points is the size on paper.
# This is the width of its text; a narrow figure leaves room for the caption beside it.
PAGE_WIDTH_IN = 7.0
NARROW_IN = 4.9
# The smallest text, in points: notes in panels and the line below them.
SMALL = 6.5
# How far titles stand above panels that have a note between, in points.
ABOVE_NOTES = 11
# Letters of a line of text, of the smallest, for each inch; of legends, with what is around them.
SMALL_LETTERS_PER_IN = 18
LEGEND_LETTERS_PER_IN = 15
LETTERS_OF_A_HANDLE = 8
# An axis with fewer would have a single tick, or two.
FEW_DECADES = 2
FORMATS = (".pdf", ".svg", ".png")


Line = str | tuple[int, tuple[float, ...]]
# A letter of Matplotlib, or an outline. All have an inside: some figures draw them without an edge,
# or hollow.
Marker = str | Outline


def star(points: int) -> Outline:
    return Outline.unit_regular_star(points, 0.4)


class Look(NamedTuple):
    """How one method is drawn."""

    label: str
    colour: str
    marker: Marker
    line: Line


# Those of the methods that the pipeline came with, in the order in which figures show them.
LOOKS: dict[str, tuple[str, Marker, Line]] = {
    "sequential": ("#000000", "s", "-"),
    "best_scan": ("#767676", "H", (0, (6, 1))),
    "deer": ("#E69F00", "^", (0, (5, 1.5))),
    "windowed_deer": ("#7A4FBF", "h", (0, (3, 1))),
    "quasi_deer": ("#0072B2", "o", (0, (2, 1))),
    "chunks": ("#C2123F", "*", (0, (12, 1))),
    "elk": ("#D55E00", "v", (0, (9, 1))),
    "quasi_elk": ("#009E73", "D", (0, (4, 1, 1, 1))),
    "scale_elk": ("#CC79A7", "P", (0, (6, 1, 1, 1, 1, 1))),
    "clip_elk": ("#56B4E9", "X", (0, (3, 1, 1, 1))),
    "jacobi": ("#8C8C8C", "<", (0, (1, 1))),
    "picard": ("#B09C00", ">", (0, (1, 2))),
    "inputs_first": ("#5F5F5F", "p", (0, (8, 2))),
    "windowed_quasi_deer": ("#8C510A", "d", (0, (2, 1, 1, 1))),
    "block_quasi_deer": ("#44AA99", "8", (0, (7, 1, 1, 1))),
    "inputs_first_unrolled": ("#A0A0A0", star(4), (0, (8, 1, 2, 1))),
    "by_default": ("#1B7837", star(7), (0, (14, 2, 1, 2))),
    "dense_chunks": ("#7A1030", star(6), (0, (5, 1, 1, 1, 1, 1))),
}
# Methods that are registered without a look of their own take these, one after another.
SPARE: list[tuple[str, Marker, Line]] = [
    ("#882255", star(3), (0, (5, 1, 2, 1))),
    ("#117733", Outline.wedge(0, 180), (0, (3, 2))),
    ("#332288", Outline.wedge(180, 360), (0, (1, 3))),
    ("#AA4466", Outline.wedge(45, 315), (0, (10, 2, 2, 2))),
]


def looks() -> dict[str, Look]:
    """How every registered method is drawn; those without a look of their own come last."""
    new = [name for name in LABELS if name not in LOOKS]
    known = LOOKS | dict(zip(new, cycle(SPARE), strict=False))
    return {name: Look(LABELS[name], *look) for name, look in known.items()}


METHODS = looks()


def apply() -> None:
    """Sets fonts, sizes and grid for figures made from now on; text stays text.

    A matplotlibrc of the user counts for nothing, so that everybody gets the same figures. Only
    the environment variable MPLBACKEND, which a notebook sets, chooses where they are shown.
    """
    mpl.rcdefaults()
    if not os.environ.get("MPLBACKEND"):
        # `rcdefaults` leaves the backend as it is; the default is a window where there is a screen.
        plt.switch_backend(mpl.rcParamsDefault["backend"])
    plt.style.use(
        [
            "seaborn-v0_8-ticks",
            {
                "font.size": 8,
                "axes.labelsize": 8,
                "axes.titlesize": 8,
                "axes.linewidth": 0.6,
                "axes.grid": True,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "font.sans-serif": [
                    "Arial",
                    "DejaVu Sans",
                    "Liberation Sans",
                    "Bitstream Vera Sans",
                    "sans-serif",
                ],
                "grid.color": "#DDDDDD",
                "grid.linewidth": 0.5,
                "legend.fontsize": 8,
                "legend.frameon": False,
                "lines.linewidth": 1.3,
                "lines.markersize": 4,
                "patch.edgecolor": "white",
                "patch.force_edgecolor": True,
                "xtick.labelsize": 7,
                "ytick.labelsize": 7,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
                "xtick.minor.size": 4,
                "ytick.minor.size": 4,
                "xtick.minor.width": 1,
                "ytick.minor.width": 1,
                "pdf.fonttype": 42,
                "svg.fonttype": "none",
                "savefig.dpi": 200,
            },
        ]
    )


def line_options(method: str) -> dict:
    """Options of `Axes.plot` that draw a method's line."""
    look = METHODS[method]
    return {"color": look.colour, "marker": look.marker, "linestyle": look.line}


def open_marker(method: str) -> dict:
    """Options of `Axes.plot` that draw a method's markers, open and without a line."""
    look = METHODS[method]
    return {"color": look.colour, "marker": look.marker, "linestyle": "none", "fillstyle": "none"}


def cross(method: str) -> dict:
    """Options of `Axes.plot` that draw crosses where a method could not run."""
    return {
        "color": METHODS[method].colour,
        "marker": "X",
        "markersize": 6,
        "markeredgecolor": "black",
        "markeredgewidth": 0.5,
        "linestyle": "none",
        "zorder": 3,
    }


def plain(value: float, position: int | None = None) -> str:
    """A tick of a logarithmic axis in one size of letters: 1e-6, 0.01, 200, 1e4.

    The exponents of 10⁻⁶ would be too small to read where the tick is not.
    """
    del position
    size = abs(value)
    if size == 0 or 1e-3 <= size < 1e4:
        text = f"{size:g}"
    else:
        exponent = math.floor(math.log10(size) + 1e-9)
        text = f"{size / 10.0**exponent:.3g}e{exponent}"
    return ("\N{MINUS SIGN}" if value < 0 else "") + text


def log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis: decades, and 2 and 5 between them where those are few."""
    low, high = axis.get_view_interval()
    if high < low * 10**FEW_DECADES:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(plain))


def write_plainly(figure: Figure) -> None:
    """Writes the ticks of all logarithmic axes in one size of letters."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                axis.set_major_formatter(FuncFormatter(plain))


def after(index: int, number: int) -> dict:
    """Options of `Axes.plot` for what is there after one of some numbers of iterations.

    The later the darker.
    """
    shade = plt.get_cmap("viridis")(0.9 - 0.9 * index / max(1, number - 1))
    return {"color": shade, "marker": "."}


def handles_after(steps: Sequence[int]) -> list[Line2D]:
    """Handles of these lines for a legend: after how many iterations."""
    return [
        Line2D([], [], label=f"after {iteration:,}", **after(index, len(steps)))
        for index, iteration in enumerate(steps)
    ]


def legend_above(figure: Figure, methods: Iterable[str], further: Sequence[Line2D] = ()) -> None:
    """One legend of the methods for the whole figure, above its panels.

    `further` handles stand in rows of their own.
    """
    handles = [Line2D([], [], label=METHODS[name].label, **line_options(name)) for name in methods]
    letters = max(map(_letters_of, (handles, further)))
    num_rows = math.ceil(letters / (LEGEND_LETTERS_PER_IN * figure.get_figwidth()))
    columns = math.ceil(max(len(handles), len(further)) / num_rows)
    read = [*_padded(handles, columns), *_padded(further, columns)]
    # Matplotlib fills a legend column by column.
    filled = [handle for column in range(columns) for handle in read[column::columns]]
    figure.legend(handles=filled, loc="outside upper center", ncols=columns)


def _letters_of(handles: Sequence[Line2D]) -> int:
    return sum(len(str(handle.get_label())) + LETTERS_OF_A_HANDLE for handle in handles)


def _padded(handles: Sequence[Line2D], columns: int) -> list[Line2D]:
    """With empty handles up to full rows."""
    missing = -len(handles) % columns
    return [*handles, *(Line2D([], [], linestyle="none", label=" ") for _ in range(missing))]


def footer(figure: Figure, text: str) -> None:
    """A small line below the panels: where the numbers come from."""
    letters = int(SMALL_LETTERS_PER_IN * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, letters), fontsize=SMALL, color="#555555")


def note_above(axes: Axes, text: str) -> None:
    """A small note at the upper right of a panel, outside it: no line runs through it."""
    axes.annotate(
        text,
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, 1),
        textcoords="offset points",
        fontsize=SMALL,
        ha="right",
        va="bottom",
    )


def letter(panels: Iterable[Axes]) -> None:
    """Letters the panels a, b, c, ..."""
    for index, axes in enumerate(panels):
        axes.set_title(chr(ord("a") + index), loc="left", fontweight="bold")


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Saves a figure under each path, in the format that the path's ending names.

    Files carry no date, so the same numbers give the same file.
    """
    write_plainly(figure)
    with mpl.rc_context({"svg.hashsalt": "parallel_rnn"}):
        for path in map(Path, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
            figure.savefig(path, metadata=undated.get(path.suffix))


def finish(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Shows a figure in a notebook or window; saves it where there is neither."""
    if mpl.get_backend().lower() == "agg":
        save(figure, paths)
        plt.close(figure)
    else:
        write_plainly(figure)
        plt.show()
