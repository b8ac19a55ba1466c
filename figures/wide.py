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
# # Where a parallel method pays on a CPU: states so wide that the weights leave the cache
#
# Reads the results of `experiments/wide.py`.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

import results
import style

# A GRU with D inputs has 6 D² weights and few other numbers.
MEGABYTES_OF_WEIGHTS = 6 * 4 / 1e6

# %% [markdown]
# ## Left: time of a step. Right: how many times faster than `jax.lax.scan`
#
# Medians of the timed calls.


# %%
def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Time of a step in µs: a row for each width, a column for each method that ran."""
    timed = table.dropna(subset=["time_s"])
    step_us = 1e6 * timed["time_s"] / timed["length"]
    return timed.assign(step_us=step_us).pivot_table(
        index="dim", columns="method", values="step_us", aggfunc="median"
    )


def draw_lines(axes: Axes, values: pd.DataFrame) -> None:
    """A line for each method against the width."""
    for method in style.METHODS:
        if method in values:
            axes.plot(values.index, values[method], **style.line_options(method))
    axes.set(xscale="log", xticks=values.index, xticklabels=values.index, xlabel="D")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelsize=style.SMALL)


def show_weights(axes: Axes, dims: pd.Index) -> None:
    """The size of the weights, above."""
    above = axes.secondary_xaxis("top")
    sizes = [MEGABYTES_OF_WEIGHTS * dim**2 for dim in dims]
    labels = [f"{size:.1f}" if size < 10 else f"{size:.0f}" for size in sizes]
    above.set_xticks(dims, labels, fontsize=style.SMALL)
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("weights (MB)")


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    steps = medians(found.table)
    figure, (time, ratio) = plt.subplots(
        1, 2, figsize=(style.PAGE_WIDTH_IN, 2.8), layout="constrained"
    )
    draw_lines(time, steps)
    time.set(yscale="log", ylabel="time of a step (µs)")
    time.minorticks_off()
    draw_lines(ratio, steps.rdiv(steps["sequential"], axis=0).drop(columns="sequential"))
    ratio.axhline(1, color=style.METHODS["sequential"].colour, zorder=1)
    ratio.set_ylabel("sequential time / time")
    ratio.set_ylim(0, None)
    for axes in (time, ratio):
        show_weights(axes, steps.index)
    style.letter([time, ratio])
    style.legend_above(figure, [name for name in style.METHODS if name in steps])
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "wide")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("wide", style.FORMATS))
