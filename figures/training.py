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
# # A classifier trained with every method
#
# Reads the results of `experiments/training.py` and `baselines.py` (Figure 3).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import results
import style
from variants import draw_times, label, look, method_of, shape, variants

EXACT = ("sequential", "deer", "quasi_deer")
BASELINES = {"majority": ("majority", ":"), "linear_probe": ("linear probe", "-")}

# %% [markdown]
# ## Along the training
#
# Lines are means over the splits; the bands of the three exact methods run from the lowest split
# to the highest. The iterations are means over the layers and the updates of an epoch.


# %%
def per_epoch(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean, smallest and largest over the splits, for every epoch that all splits have."""
    splits = table.pivot_table(index="epoch", columns="split", values=value).dropna()
    return pd.DataFrame(
        {"mean": splits.mean(axis=1), "min": splits.min(axis=1), "max": splits.max(axis=1)}
    )


def draw_course(axes: Axes, table: pd.DataFrame, value: str) -> None:
    """A value against the epoch, a line for every variant."""
    for variant in variants(table):
        curve = per_epoch(results.rows(table, variant=variant), value)
        every = max(1, len(curve) // 8)
        axes.plot(curve.index, curve["mean"], **look(variant), markevery=every)
        if variant in EXACT:
            colour = style.METHODS[variant].colour
            axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.12)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def mean_iterations(table: pd.DataFrame) -> pd.Series:
    """Iterations, averaged over the layers."""
    return table.filter(like="num_steps_layer_").mean(axis=1)


# %% [markdown]
# ## Side by side
#
# A row for every variant: a dot a split, and a bar at the mean.


# %%
def best_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """The epoch of every run that its validation part chose: the last of the best."""
    ranked = epochs.sort_values(["validation_accuracy", "epoch"])
    return ranked.groupby(["variant", "split"], sort=False).last().reset_index()


def draw_accuracies(axes: Axes, epochs: pd.DataFrame, baselines: pd.DataFrame) -> None:
    """The test accuracy of every variant beside the baselines."""
    names = variants(epochs)
    best = best_epochs(epochs)
    for place, variant in enumerate(names):
        values = results.rows(best, variant=variant)["test_accuracy"]
        dots = {**look(variant), "linestyle": "none"}
        axes.plot(values, np.full(len(values), place), **dots, zorder=3)
        colour = style.METHODS[method_of(variant)].colour
        axes.plot([values.mean()] * 2, [place - 0.35, place + 0.35], color=colour, linewidth=2)
    for baseline, (name, line) in BASELINES.items():
        accuracy = float(np.mean(results.rows(baselines, baseline=baseline)["test_accuracy"]))
        grey = {"color": "#555555", "linewidth": 0.9, "linestyle": line}
        axes.axvline(accuracy, label=name, zorder=1, **grey)
    # Above the panel, where no marker can lie below the words.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1)
    axes.set(yticks=range(len(names)), yticklabels=map(label, names), xlabel="test accuracy")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)


# %% [markdown]
# ## The figure


# %%
def draw(found: results.Found, baselines: pd.DataFrame) -> Figure:
    """The whole figure."""
    epochs, updates = found.beside("epochs"), found.table
    updates = updates.assign(iterations=mean_iterations(updates))
    rows = 0.34 * len(variants(updates))
    figure, grid = plt.subplots(
        2,
        2,
        figsize=(style.PAGE_WIDTH_IN, 2.8 + rows),
        layout="constrained",
        height_ratios=[1.2, rows],
    )
    run = found.records[0]["configuration"]
    draw_course(grid[0, 0], epochs, "validation_accuracy")
    grid[0, 0].set(ylabel="validation accuracy", ylim=(0, 1))
    draw_course(grid[0, 1], updates.query("iterations > 0"), "iterations")
    grid[0, 1].set(ylabel="iterations, sweeps", ylim=(0, None))
    draw_accuracies(grid[1, 0], epochs, baselines)
    draw_times(grid[1, 1], updates)
    grid[1, 1].set_title(shape(run["dataset"], run), fontsize=7)
    style.letter(grid.ravel())
    shown = set(map(method_of, updates["variant"]))
    style.legend_above(figure, [name for name in style.METHODS if name in shown])
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "training")
baselines = found.source.table("baselines")
if "snakemake" in globals():
    style.save(draw(found, baselines), globals()["snakemake"].output)
else:
    style.finish(draw(found, baselines), found.figure_paths("training", style.FORMATS))
