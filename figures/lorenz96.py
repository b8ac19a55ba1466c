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
# # Lorenz96 in parallel: choosing the damping, and what the iterates look like (Figure 8)
#
# Reads the results of `experiments/lorenz96.py`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

import results
import style

SWEPT = ("elk", "quasi_elk")
UNDAMPED = ("deer", "quasi_deer")
MAD = "MAD,\nsum over D"

# %% [markdown]
# ## The sweep over the damping, a row for each method
#
# Left, the MAD after some numbers of iterations; middle, the iterations until it stays below the
# threshold; right, the time that these take. Lines are medians over the starting states, bands
# run from the smallest to the largest. DEER, quasi-DEER and sequential evaluation have no damping:
# they are horizontal lines.


# %%
def draw_band(axes: Axes, table: pd.DataFrame, x: str, y: str, **options) -> None:
    """The median of `y` over the starting states, and the range between them."""
    groups = table.groupby(x)[y]
    middle = groups.median()
    axes.plot(middle.index, middle, **options)
    axes.fill_between(
        middle.index, groups.min(), groups.max(), color=options["color"], alpha=0.2, linewidth=0
    )


def draw_level(axes: Axes, method: str, height: float) -> None:
    """A horizontal line for a method that has no damping."""
    look = style.METHODS[method]
    axes.axhline(height, color=look.colour, linestyle=look.line, linewidth=1)


def draw_mad_after(axes: Axes, convergence: pd.DataFrame, method: str, steps: list[int]) -> None:
    """MAD against the damping, a line for each number of iterations, the later the darker."""
    cells = convergence.query("method == @method")
    for index, iteration in enumerate(steps):
        shown = results.rows(cells, iteration=iteration)
        draw_band(axes, shown, "damping", "mad", **style.after(index, len(steps)))
    axes.set_ylim(1e-6, 1e3)


def draw_count(axes: Axes, solves: pd.DataFrame, method: str, column: str) -> None:
    """A column of the solves against the damping, with the undamped methods beside it.

    A cross stands at the top where some start did not get below the threshold.
    """
    cells = solves.query("method == @method")
    failed = sorted(set(cells.query("num_steps.isna()")["damping"]))
    reached = cells.query("damping not in @failed")
    draw_band(axes, reached, "damping", column, **style.line_options(method))
    top = axes.get_xaxis_transform()
    axes.plot(failed, [0.95] * len(failed), transform=top, clip_on=False, **style.cross(method))
    for other in (*UNDAMPED, "sequential"):
        heights = solves.query("method == @other").dropna(subset=[column])[column]
        if len(heights):
            draw_level(axes, other, float(np.median(heights)))


def draw_sweep(figure: SubFigure, found: results.Found) -> None:
    """Both rows."""
    settings = found.records[0]["configuration"]
    solves, convergence = found.table, found.beside("convergence")
    grid = figure.subplots(2, 3, sharex=True, sharey="col")
    for (after, count, time), method in zip(grid, SWEPT, strict=True):
        draw_mad_after(after, convergence, method, settings["sweep_steps"])
        draw_count(count, solves, method, "num_steps")
        draw_count(time, solves, method, "time_s")
        for axes in (after, count, time):
            chosen = settings[f"{method}_damping"]
            axes.axvline(chosen, color="#999999", linewidth=0.8, linestyle=":")
            axes.set(xscale="log", yscale="log")
        count.set_yticks([50, 100, 200, 500, 1000], labels=["50", "100", "200", "500", "1000"])
        after.axhline(settings["threshold"], color="#999999", linewidth=0.8)
        after.set_ylabel(f"{style.METHODS[method].label}: {MAD}")
        count.set_ylabel(f"iterations to\nMAD < {settings['threshold']:g}")
        time.set_ylabel(f"time to\nMAD < {settings['threshold']:g} (s)")
    for axes in grid.flat:
        axes.minorticks_off()
    for axes in grid[:, 2]:
        style.log_ticks(axes.yaxis)
    for axes in grid[-1]:
        axes.set_xlabel("damping λ")
    style.letter(grid[0])


# %% [markdown]
# ## MAD against iterations, at the best damping


# %%
def draw_convergence(figure: SubFigure, found: results.Found) -> None:
    """A line for each method, a band over the starting states."""
    settings = found.records[0]["configuration"]
    table = found.beside("convergence")
    axes = figure.subplots()
    for method in (*SWEPT, *UNDAMPED):
        damping = settings.get(f"{method}_damping", 0)
        cells = table[(table["method"] == method) & (table["damping"] == damping)]
        # A start that is done stays as it is while others go on.
        runs = cells.pivot(index="iteration", columns="start", values="mad").ffill()
        look = {**style.line_options(method), "marker": ""}
        draw_band(axes, runs.melt(ignore_index=False, value_name="mad"), "iteration", "mad", **look)
    axes.axhline(settings["threshold"], color="#999999", linewidth=0.8)
    axes.set(yscale="log", ylim=(1e-6, 1e4), xlabel="iteration", ylabel=MAD)
    axes.margins(x=0.01)
    axes.set_title("d", loc="left", fontweight="bold")


# %% [markdown]
# ## Iterates on the way: a row for each method, a column for each number of iterations
#
# One line for each variable, the true trajectory in grey. The vertical axis ends a little outside
# the attractor; iterates that leave it are cut off, and a number says how far they went.


# %%
def draw_iterate(axes: Axes, cells: pd.DataFrame, truth: pd.DataFrame, limit: float) -> None:
    """One iterate above the true trajectory."""
    variables = [name for name in cells if name.startswith("s_")]
    time = 0.01 * cells["step"]
    for index, name in enumerate(variables):
        axes.plot(time, truth[name], color="#BBBBBB", linewidth=0.8)
        shade = plt.get_cmap("plasma")(0.85 * index / len(variables))
        axes.plot(time, cells[name].clip(-1e9, 1e9), color=shade, linewidth=0.6)
    axes.set_ylim(-limit, limit)
    largest = cells[variables].abs().max().max()
    if not largest < limit:
        style.note_above(axes, f"up to {style.plain(float(f'{largest:.0e}'))}")


def draw_iterates(figure: SubFigure, found: results.Found) -> None:
    """The whole grid."""
    table = found.beside("iterates")
    states = {key: cells.reset_index() for key, cells in table.groupby(["method", "iteration"])}
    truth = states["sequential", 0]
    limit = 1.5 * truth.filter(like="s_").abs().max().max()
    iterations = found.records[0]["configuration"]["iterates"]
    methods = (*SWEPT, *UNDAMPED)
    grid = figure.subplots(len(methods), len(iterations), sharex=True, sharey=True, squeeze=False)
    for line, method in zip(grid, methods, strict=True):
        for axes, iteration in zip(line, iterations, strict=True):
            draw_iterate(axes, states[method, iteration], truth, limit)
        line[0].set_ylabel(style.METHODS[method].label)
    for axes, iteration in zip(grid[0], iterations, strict=True):
        axes.set_title(f"iteration {iteration}", pad=style.ABOVE_NOTES)
    for axes in grid[-1]:
        axes.set_xlabel("time")
    grid[0, 0].set_title("e", loc="left", fontweight="bold", pad=style.ABOVE_NOTES)


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    figure = plt.figure(figsize=(style.PAGE_WIDTH_IN, 7.4), layout="constrained")
    parts = np.asarray(figure.subfigures(3, 1, height_ratios=[3.6, 1.8, 4.2]))
    for part, draw_part in zip(parts, (draw_sweep, draw_convergence, draw_iterates), strict=True):
        draw_part(part, found)
    steps = found.records[0]["configuration"]["sweep_steps"]
    style.legend_above(figure, [*SWEPT, *UNDAMPED, "sequential"], style.handles_after(steps))
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "lorenz96")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("lorenz96", style.FORMATS))
