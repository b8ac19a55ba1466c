# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Every cell with every method, before and after a training
#
# Reads the results of `experiments/architectures.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

import results
import style

TITLES = {
    "elman": "Elman",
    "gru": "GRU",
    "minimal_gated": "minimal gated",
    "liquid": "liquid",
    "lem": "LEM",
    "lstm": "LSTM",
    "slstm": "sLSTM",
}
# Markers are hollow before the training, full after it.
HOLLOW, FULL = "untrained", "trained"
# The share of a cell's row that its methods fill.
FILLED = 0.8

# %% [markdown]
# ## A row for each cell, in it a line for each method from untrained to trained
#
# Crosses stand at the limit on iterations, for solves that did not converge within it.


# %%
def draw_panel(axes: Axes, table: pd.DataFrame, value: str, names: list[str]) -> None:
    """One measure of all cells and methods."""
    methods = methods_in(table)
    offsets = FILLED * ((np.arange(len(methods)) + 0.5) / len(methods) - 0.5)
    for row, name in enumerate(names):
        for method, offset in zip(methods, offsets, strict=True):
            rows = results.rows(table, cell=name, method=method)
            draw_pair(axes, rows, value, method, row + offset)
    for border in np.arange(1, len(names)) - 0.5:
        axes.axhline(border, color="#BBBBBB", linewidth=0.6)
    axes.set(xscale="log", ylim=(len(names) - 0.5, -0.5))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(False, axis="y")


def draw_pair(axes: Axes, rows: pd.DataFrame, value: str, method: str, height: float) -> None:
    """One method on one cell with both weights; nothing where it has no value."""
    look = style.METHODS[method]
    values = rows.set_index("weights")[value].to_dict()
    for weights, fill in ((HOLLOW, "white"), (FULL, look.colour)):
        if weights in values:
            spot = axes.plot(values[weights], height, marker=look.marker, color=look.colour)
            plt.setp(spot, markerfacecolor=fill)
    reached = list(values.values())
    if value == "iterations":
        crosses = rows["limit"].to_numpy()
        axes.plot(crosses, [height] * len(crosses), **style.cross(method))
    axes.plot(reached, [height] * len(reached), color=look.colour, linewidth=0.8, zorder=1)


def methods_in(table: pd.DataFrame) -> list[str]:
    """The methods of the table, in the order of their looks."""
    return [name for name in style.METHODS if name in set(table["method"])]


def describe(table: pd.DataFrame, name: str) -> str:
    """A cell with its state size and its Lyapunov exponents."""
    own = results.rows(table, cell=name)
    exponents = own.drop_duplicates("weights").set_index("weights")["lyapunov_exponent"]
    before, after = exponents[HOLLOW], exponents[FULL]
    return f"{TITLES[name]}\nD = {own['dim'].to_numpy()[0]}\n{before:.2f} → {after:.2f}"


def legend(figure: Figure, methods: list[str]) -> None:
    """The methods, then what a hollow and a full marker are."""
    handles = []
    for name in methods:
        look = style.METHODS[name]
        handles.append(Line2D([], [], color=look.colour, marker=look.marker, label=look.label))
    for label, fill in ((HOLLOW, "white"), (FULL, "black")):
        handles.append(Line2D([], [], color="black", marker="o", mfc=fill, label=label))
    for handle in handles:
        handle.set_linestyle("none")
    figure.legend(handles=handles, loc="outside upper center", ncols=5)


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    limit = found.records[0]["configuration"]["max_steps"]
    table = found.table.assign(
        iterations=found.table["num_steps"] / found.table["num_windows"],
        ratio=found.table["time_s"] / found.table["sequential_time_s"],
        limit=np.where(found.table["status"] == "not converged", limit, np.nan),
    )
    names = [name for name in TITLES if name in set(table["cell"])]
    figure, (iterations, ratio) = plt.subplots(
        1,
        2,
        figsize=(style.PAGE_WIDTH_IN, 1.2 + 0.56 * len(names)),
        sharey=True,
        layout="constrained",
    )
    draw_panel(iterations, table, "iterations", names)
    iterations.set_xlim(left=0.85)  # markers at 1 are whole
    iterations.set_xlabel("iterations (of a window, on average)")
    iterations.set_yticks(range(len(names)), [describe(table, name) for name in names])
    draw_panel(ratio, table, "ratio", names)
    ratio.axvline(1, color=style.METHODS["sequential"].colour, linewidth=0.8)
    ratio.set_xlabel("time / sequential time")
    style.letter([iterations, ratio])
    legend(figure, methods_in(table))
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "architectures")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("architectures", style.FORMATS))
