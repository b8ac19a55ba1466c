"""How every figure looks: one label, colour, marker and line style for each method.

The colours are from Okabe and Ito's set, which colour-blind readers can tell apart;
they differ in lightness too, and markers and line styles tell the methods apart in
grey.
"""

import os
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from results import LABELS

PAGE_WIDTH_IN = 7.2
# An axis with fewer would have a single tick, or two.
FEW_DECADES = 2
FORMATS = (".pdf", ".svg", ".png")


Line = str | tuple[int, tuple[float, ...]]


class Look(NamedTuple):
    """How one method is drawn."""

    label: str
    colour: str
    marker: str
    line: Line


# Those of the methods that the pipeline came with, in the order in which figures show them.
LOOKS: dict[str, tuple[str, str, Line]] = {
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
    "inputs_first_unrolled": ("#A0A0A0", "+", (0, (8, 1, 2, 1))),
    "dense_chunks": ("#7A1030", "x", (0, (5, 1, 1, 1, 1, 1))),
}
# Methods that are registered without a look of their own take these, one after another.
SPARE: list[tuple[str, str, Line]] = [
    ("#882255", "1", (0, (5, 1, 2, 1))),
    ("#117733", "2", (0, (3, 2))),
    ("#332288", "3", (0, (1, 3))),
    ("#AA4466", "4", (0, (10, 2, 2, 2))),
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
    sns.set_theme(
        style="ticks",
        rc={
            "font.size": 8,
            "axes.labelsize": 8,
            "axes.titlesize": 8,
            "axes.linewidth": 0.6,
            "axes.grid": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.5,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "lines.linewidth": 1.3,
            "lines.markersize": 4,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            "savefig.dpi": 200,
        },
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


def log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis: decades, and 2 and 5 between them where those are few."""
    low, high = axis.get_view_interval()
    if high < low * 10**FEW_DECADES:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")


def legend_above(figure: Figure, methods: Iterable[str]) -> None:
    """One legend of the methods for the whole figure, above its panels."""
    handles = [Line2D([], [], label=METHODS[name].label, **line_options(name)) for name in methods]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def footer(figure: Figure, text: str) -> None:
    """A small line below the panels: where the numbers come from."""
    figure.supxlabel(text, fontsize=6, color="#555555")


def letter(panels: Iterable[Axes]) -> None:
    """Letters the panels a, b, c, ..."""
    for index, axes in enumerate(panels):
        axes.set_title(chr(ord("a") + index), loc="left", fontweight="bold")


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Saves a figure under each path, in the format that the path's ending names.

    Files carry no date, so the same numbers give the same file.
    """
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
        plt.show()
