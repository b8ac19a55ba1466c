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
# # The damping of ELK and quasi-ELK on the trained autoregressive GRU (Figure 7)
#
# Reads the results of `experiments/argru_sweep.py`; the time of an iteration, which does not depend
# on the damping, and the undamped methods come from `experiments/argru.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

import results
import style

SWEPT = ("elk", "quasi_elk")
UNDAMPED = ("deer", "quasi_deer")
THRESHOLD = 0.1
MAD_SHOWN = (1e-4, 1e7)

# %% [markdown]
# ## A row for each method
#
# Left, the MAD after some numbers of iterations; middle, the iterations to MAD < 0.1; right, the
# time that these take: their number times the median time of one. Lines are medians over the draws
# of noise, bands run from their 5 % to their 95 % quantile. Horizontal lines: the methods that have
# no damping.


# %%
def draw_band(axes: Axes, cells: pd.DataFrame, column: str, **options) -> None:
    """The median of a column against the damping, and the band around it."""
    draws = cells.groupby("damping")[column]
    low, middle, high = (draws.quantile(share) for share in (0.05, 0.5, 0.95))
    axes.plot(middle.index, middle, **options)
    axes.fill_between(middle.index, low, high, color=options["color"], alpha=0.2, linewidth=0)


def draw_mad_after(axes: Axes, cells: pd.DataFrame, steps: list[int]) -> None:
    """MAD against the damping, a line for each number of iterations, the later the darker."""
    for index, iteration in enumerate(steps):
        draw_band(axes, cells, f"mad_after_{iteration}", **style.after(index, len(steps)))
    axes.axhline(THRESHOLD, color="#999999", linewidth=0.8)
    axes.set_ylim(MAD_SHOWN)


def draw_count(axes: Axes, method: str, cells: pd.DataFrame, column: str) -> None:
    """A number that is missing where the answer was not found, against the damping.

    A cross stands at the top where some draw did not get below the threshold.
    """
    failed = sorted(set(cells[cells[column].isna()]["damping"]))
    reached = cells.query("damping not in @failed")
    if len(reached):
        draw_band(axes, reached, column, **style.line_options(method))
    top = axes.get_xaxis_transform()
    axes.plot(failed, [0.95] * len(failed), transform=top, **style.cross(method))


def draw_level(axes: Axes, method: str, height: float) -> None:
    """A horizontal line for a method that has no damping."""
    look = style.METHODS[method]
    axes.axhline(height, color=look.colour, linestyle=look.line, linewidth=1)


def leave_room(axes: Axes) -> None:
    """Room above the lines for the crosses."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.1)


def seconds_per_iteration(times: pd.DataFrame) -> dict[str, float]:
    """The median time of an iteration of each method, of one pass for sequential evaluation."""
    each = times["time_s"] / times["run_steps"].fillna(1)
    return {str(name): float(np.median(one)) for name, one in each.groupby(times["method"])}


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    others = results.Found(found.source, "argru")
    seconds = seconds_per_iteration(others.beside("times"))
    trained = others.table.query("model == 'trained'")
    undamped = {
        name: float(np.median(trained.query("method == @name")["num_steps"])) for name in UNDAMPED
    }
    steps = found.records[0]["configuration"]["mad_after"]
    figure, grid = plt.subplots(
        2, 3, figsize=(style.PAGE_WIDTH_IN, 3.6), sharex=True, sharey="col", layout="constrained"
    )
    for axes in grid.flat:
        axes.set(xscale="log", yscale="log")
    for (after, count, time), method in zip(grid, SWEPT, strict=True):
        cells = found.table.query("method == @method")
        cells = cells.assign(time_s=seconds[method] * cells["num_steps"])
        draw_mad_after(after, cells, steps)
        draw_count(count, method, cells, "num_steps")
        draw_count(time, method, cells, "time_s")
        for name, number in undamped.items():
            if np.isfinite(number):
                draw_level(count, name, number)
                draw_level(time, name, number * seconds[name])
        draw_level(time, "sequential", seconds["sequential"])
        for axes in (after, count, time):
            chosen = others.records[0]["configuration"][f"{method}_damping"]
            axes.axvline(chosen, color="#999999", linewidth=0.8, linestyle=":")
            axes.minorticks_off()
        count.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        count.yaxis.set_major_formatter(style.plain)
        after.set_ylabel(f"{style.METHODS[method].label}\nMAD of the output")
        count.set_ylabel(f"iterations to\nMAD < {THRESHOLD}")
        time.set_ylabel(f"time to\nMAD < {THRESHOLD} (s)")
    for axes in grid[0, 1:]:  # those below have the same scale
        leave_room(axes)
    for axes in grid[:, 2]:
        style.log_ticks(axes.yaxis)
    for axes in grid[-1]:
        axes.set_xlabel("damping λ")
    style.letter(grid[0])
    style.legend_above(figure, [*SWEPT, *UNDAMPED, "sequential"], style.handles_after(steps))
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "argru_sweep")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("argru_sweep", style.FORMATS))
