"""How the ways to train a classifier are drawn: looks, names, and the time of an update."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import results
import style

# Times that differ by this factor do not fit on a linear axis.
MUCH_SLOWER = 10


def method_of(variant: str) -> str:
    """The method that evaluates a variant's GRUs."""
    return variant.removesuffix("_diagonal").removesuffix("_warm")


def look(variant: str) -> dict:
    """Options of `Axes.plot` that draw a variant.

    The colour is that of its method. The approximate gradient has the method's marker, hollow, and
    the warm start a hollow plus.
    """
    options = style.line_options(method_of(variant))
    if variant != method_of(variant):
        options |= {"markerfacecolor": "white", "linestyle": ":"}
    if variant.endswith("_warm"):
        options |= {"marker": "P", "linestyle": (0, (1, 3))}
    return options


def label(variant: str) -> str:
    """A variant's name for a reader."""
    name = style.METHODS[method_of(variant)].label.replace(", ", ",\n")
    if variant.endswith("_diagonal"):
        return f"{name},\ndiagonal gradient"
    return f"{name},\nwarm start" if variant.endswith("_warm") else name


def variants(table: pd.DataFrame) -> list[str]:
    """The variants of a table, in its order."""
    return list(dict.fromkeys(table["variant"]))


def draw_times(axes: Axes, table: pd.DataFrame) -> None:
    """The time of an update of every variant: medians, from the 5 % fastest to the 5 % slowest."""
    names = variants(table)
    for place, variant in enumerate(names):
        times = results.rows(table, variant=variant)["time_s"]
        low, middle, high = np.quantile(times, [0.05, 0.5, 0.95])
        colour = style.METHODS[method_of(variant)].colour
        axes.plot([low, high], [place, place], color=colour, linewidth=1)
        axes.plot(middle, place, **{**look(variant), "linestyle": "none"})
        axes.annotate(
            f"{middle:.3g} s" if middle >= 1 else f"{1e3 * middle:.3g} ms",
            (middle, place),
            xytext=(0, 5),
            textcoords="offset points",
            fontsize=style.SMALL,
            ha="center",
        )
    axes.set(
        yticks=range(len(names)), yticklabels=map(label, names), xlabel="time of an update (s)"
    )
    axes.set_ylim(len(names) - 0.4, -0.8)
    if np.ptp(np.log10(table["time_s"])) < np.log10(MUCH_SLOWER):
        axes.set_xlim(0, 1.3 * axes.get_xlim()[1])
    else:
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.margins(x=0.15)


def shape(name: str, run: dict) -> str:
    """A title that says on what an update was timed."""
    return (
        f"{name}:\nT = {run['length']:,}, D = {run['units']}, layers {run['layers']}, "
        f"batch {run['batch_size']}"
    )
