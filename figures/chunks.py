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
# # Sweeps, depth, work and time against the length of the chunks
#
# Reads the results of `experiments/chunks.py`: recurrences that forget and that remember, solved in
# chunks of every length.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import results
import style

TITLES = {
    "gru": "untrained GRU",
    "classifier": "trained GRU",
    "argru": "AR GRU",
    "lorenz96": "Lorenz96",
}
COUPLINGS = {"quasi_deer": "diagonals", "deer": "Jacobians"}
ROWS = {
    "num_steps": "sweeps",
    "depth": "depth / T",
    "work": "work / T",
    "time_s": "time (s)",
}

# %% [markdown]
# ## A panel: a line for each coupling, and a level for sequential evaluation
#
# Chunks of one step are the methods themselves; at the right end, C = T, stands sequential
# evaluation. A missing point did not get there within the limit on sweeps.


# %%
def draw_panel(axes: Axes, cells: pd.DataFrame, value: str) -> None:
    """One measure of one recurrence against the length of the chunks."""
    for method in COUPLINGS:
        own = results.rows(cells, method=method, status="reached").sort_values("chunk")
        axes.plot(own["chunk"], own[value], **style.line_options(method))
    stepped = results.rows(cells, method="sequential")
    if value != "num_steps":
        look = style.METHODS["sequential"]
        axes.axhline(stepped[value].iloc[0], color=look.colour, linewidth=0.8, zorder=1)
        axes.plot(stepped["chunk"], stepped[value], color=look.colour, marker=look.marker)
    axes.set(xscale="log", yscale="log")
    axes.minorticks_off()


def legend(figure: Figure) -> None:
    """The couplings, then sequential evaluation."""
    labels = {
        method: f"{style.METHODS[method].label} in chunks, joined by {words}"
        for method, words in COUPLINGS.items()
    }
    labels["sequential"] = "sequential (C = T)"
    handles = [
        Line2D([], [], label=text, **style.line_options(name)) for name, text in labels.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1)


def draw(found: results.Found) -> Figure:
    """The whole figure: a column for each recurrence."""
    table = found.table.assign(
        depth=found.table["depth_evaluations"] / found.table["length"],
        work=found.table["work_evaluations"] / found.table["length"],
    )
    names = [name for name in TITLES if name in set(table["system"])]
    figure, grid = plt.subplots(
        len(ROWS),
        len(names),
        figsize=(style.PAGE_WIDTH_IN, 5.2),
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for column, name in zip(grid.T, names, strict=True):
        cells = results.rows(table, system=name)
        for axes, value in zip(column, ROWS, strict=True):
            draw_panel(axes, cells, value)
        shape = cells.iloc[0]
        column[0].set_title(f"{TITLES[name]}\nD = {shape['dim']}, T = {shape['length']:,}")
        column[-1].set_xlabel("steps of a chunk, C")
    for axes, label in zip(grid[:, 0], ROWS.values(), strict=True):
        axes.set_ylabel(label)
    style.letter(grid[:, 0])
    figure.align_ylabels()
    legend(figure)
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "chunks")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("chunks", style.FORMATS))
