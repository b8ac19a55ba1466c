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
# Reads the results of `experiments/training.py`, `baselines.py` and `training_step.py` (Figure 3).

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import results
import style

EXACT = ("sequential", "deer", "quasi_deer")
BASELINES = {"majority": "majority", "linear_probe": "linear probe"}

# %% [markdown]
# ## How a variant looks
#
# The colour is that of its method. The approximate gradient has the method's marker, hollow, and
# the warm start a hollow plus.


# %%
def method_of(variant: str) -> str:
    """The method that evaluates a variant's GRUs."""
    return variant.removesuffix("_diagonal").removesuffix("_warm")


def look(variant: str) -> dict:
    """Options of `Axes.plot` that draw a variant."""
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


def variants(table: pd.DataFrame) -> list[str]:
    """The variants of a table, in its order."""
    return list(dict.fromkeys(table["variant"]))


def iterating(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of variants that iterate; sequential evaluation has 0 iterations."""
    return table.loc[mean_iterations(table) > 0]


def mean_iterations(table: pd.DataFrame) -> pd.Series:
    """Iterations, averaged over the layers."""
    return table.filter(like="num_steps_layer_").mean(axis=1)


# %% [markdown]
# ## Side by side
#
# A row for every variant: a dot a split, and a bar at the mean; times are medians, with the range
# from the 5 % fastest to the 5 % slowest updates.


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
    for baseline, name in BASELINES.items():
        height = float(np.mean(results.rows(baselines, baseline=baseline)["test_accuracy"]))
        axes.axvline(height, color="#777777", linewidth=0.9, zorder=1)
        place = {"rotation": 90, "va": "bottom", "ha": "right"}
        axes.text(height, len(names) - 0.45, name, fontsize=6, color="#555555", **place)
    axes.set(yticks=range(len(names)), yticklabels=map(label, names), xlabel="test accuracy")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)


def draw_times(axes: Axes, table: pd.DataFrame) -> None:
    """The time of an update of every variant."""
    names = variants(table)
    for place, variant in enumerate(names):
        times = results.rows(table, variant=variant)["time_s"]
        low, middle, high = np.quantile(times, [0.05, 0.5, 0.95])
        colour = style.METHODS[method_of(variant)].colour
        axes.plot([low, high], [place, place], color=colour, linewidth=1)
        axes.plot(middle, place, **{**look(variant), "linestyle": "none"})
        axes.annotate(
            f"{middle:.2g} s" if middle >= 1 else f"{1e3 * middle:.0f} ms",
            (middle, place),
            xytext=(0, 5),
            textcoords="offset points",
            fontsize=6,
            ha="center",
        )
    axes.set(
        yticks=range(len(names)), yticklabels=map(label, names), xlabel="time of an update (s)"
    )
    axes.set_ylim(len(names) - 0.4, -0.8)
    axes.set_xlim(0, 1.3 * axes.get_xlim()[1])


# %% [markdown]
# ## The figure


# %%
def draw(found: results.Found, baselines: pd.DataFrame, steps: results.Found) -> Figure:
    """The whole figure."""
    epochs, updates = found.beside("epochs"), found.table
    updates = updates.assign(iterations=mean_iterations(updates))
    figure, grid = plt.subplots(
        3, 2, figsize=(style.PAGE_WIDTH_IN, 7.4), layout="constrained", height_ratios=[1, 1.2, 0.9]
    )
    run, step = found.records[0]["configuration"], steps.records[0]["configuration"]
    draw_course(grid[0, 0], epochs, "validation_accuracy")
    grid[0, 0].set(ylabel="validation accuracy", ylim=(0, 1))
    draw_course(grid[0, 1], iterating(updates), "iterations")
    grid[0, 1].set(ylabel="iterations, sweeps", ylim=(0, None))
    draw_accuracies(grid[1, 0], epochs, baselines)
    draw_times(grid[1, 1], updates)
    grid[1, 1].set_title(_shape(run["dataset"], run), fontsize=7)
    compared = results.with_best_scan(steps.table, [], column="variant")
    draw_times(grid[2, 0], compared)
    grid[2, 0].set_title(_shape("random data of EigenWorms' shape", step), fontsize=7)
    draw_layers(grid[2, 1], iterating(compared))
    style.letter(grid.ravel())
    shown = {*map(method_of, [*updates["variant"], *compared["variant"]])}
    style.legend_above(figure, [name for name in style.METHODS if name in shown])
    style.footer(figure, results.provenance(found.records))
    return figure


def draw_layers(axes: Axes, table: pd.DataFrame) -> None:
    """The iterations of each layer, or its sweeps in chunks."""
    columns = [name for name in table if name.startswith("num_steps_layer_")]
    layers = range(1, 1 + len(columns))
    for variant in variants(table):
        own = results.rows(table, variant=variant)
        axes.plot(layers, own[columns].mean(), **look(variant))
    axes.set(xlabel="layer", ylabel="iterations, sweeps", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _shape(name: str, run: dict) -> str:
    return (
        f"{name}:\nT = {run['length']:,}, D = {run['units']}, layers {run['layers']}, "
        f"batch {run['batch_size']}"
    )


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "training")
baselines = found.source.table("baselines")
steps = results.Found(found.source, "training_step")
if "snakemake" in globals():
    style.save(draw(found, baselines, steps), globals()["snakemake"].output)
else:
    style.finish(draw(found, baselines, steps), found.figure_paths("training", style.FORMATS))
