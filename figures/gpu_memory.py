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
# # Memory and kernels on GPUs that need not be there (memory of Figures 2 and 6)
#
# Reads the results of `experiments/gpu_memory.py`: what XLA's compiler says of programs that it
# compiled for a GPU. In the pipeline this script draws one batch size; opened as a notebook it
# draws every batch size of the newest results.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import results
import style

GB = 1e9
# Memory of the paper's V100, and of the two GPUs compiled for.
CARDS_GB = (16, 40, 80)
NAMES = {"h100": "H100", "a100": "A100"}

# %% [markdown]
# ## What a panel shows
#
# Everything that the program holds: arguments, results and what it needs between. The first GPU is
# drawn as lines, a second as open markers.

# %%
ROWS = {
    "forward": ("total_gb", "memory (GB),\nforward"),
    "gradient": ("total_gb", "memory (GB),\nwith gradient"),
    "kernels": ("kernels_per_iteration", "kernels\nper iteration"),
}


def compiled(table: pd.DataFrame) -> pd.DataFrame:
    """The programs that were compiled, with their memory in GB."""
    done = table.query("status == 'ok'")
    parts = ["argument_memory_bytes", "output_memory_bytes", "temp_memory_bytes"]
    return done.assign(total_gb=done[parts].sum(axis="columns") / GB)


def draw_panel(axes: Axes, cells: pd.DataFrame, value: str, targets: list[str]) -> None:
    """One value against T for every method."""
    for method in style.METHODS:
        looks = (style.line_options(method), style.open_marker(method))
        for target, look in zip(targets, looks, strict=False):
            own = results.rows(cells, method=method, target=target).sort_values("length")
            axes.plot(own["length"], own[value], **look)


def mark_cards(axes: Axes) -> None:
    """Lines at the memory of the cards."""
    for size in CARDS_GB:
        axes.axhline(size, color="#777777", linewidth=0.7, zorder=0)


def explain_absence(figure: Figure, table: pd.DataFrame) -> None:
    """Why there is nothing to draw."""
    reasons = "\n".join(table["status"].unique())
    figure.text(0.5, 0.5, reasons, ha="center", va="center", fontsize=8, wrap=True)


def draw(found: results.Found, batch: int) -> Figure:
    """The figure for one batch size."""
    table = results.rows(found.table, batch=batch)
    done = compiled(table)
    dims, targets = (
        sorted(table["dim"].unique()),
        [name for name in NAMES if name in set(table["target"])],
    )
    shown = [name for name in ROWS if name == "kernels" or name in set(table["derivative"])]
    figure, grid = plt.subplots(
        len(shown),
        len(dims),
        figsize=(style.PAGE_WIDTH_IN, 1.1 * len(shown) + 0.8),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for column, dim in zip(grid.T, dims, strict=True):
        column[0].set_title(f"D = {dim}")
        for axes, name in zip(column, shown, strict=True):
            value, _ = ROWS[name]
            derivative = "forward" if name == "kernels" else name
            draw_panel(axes, results.rows(done, dim=dim, derivative=derivative), value, targets)
            if name != "kernels":
                mark_cards(axes)
    if done.empty:
        explain_absence(figure, table)
    finish_axes(grid, [ROWS[name][1] for name in shown])
    style.legend_above(figure, [name for name in style.METHODS if name in set(table["method"])])
    compiled_for = " (lines), ".join(NAMES[name] for name in targets)
    compiled_for += " (open markers)" if len(targets) > 1 else ""
    cards = ", ".join(f"{size}" for size in CARDS_GB)
    about = f"batch {batch}, compiled for {compiled_for}, lines at cards of {cards} GB"
    style.footer(figure, f"{about}  |  {results.provenance(found.records)}")
    return figure


def finish_axes(grid: np.ndarray, labels: list[str]) -> None:
    """Logarithmic axes and their labels."""
    for axes in grid.ravel():
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    for axes in grid[-1]:
        axes.set_xlabel("length T")


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "gpu_memory")
if "snakemake" in globals():
    job = globals()["snakemake"]
    style.save(draw(found, job.params.batch), job.output)
else:
    for batch in sorted(found.table["batch"].unique()):
        paths = found.figure_paths(f"gpu_memory_batch{batch}", style.FORMATS)
        style.finish(draw(found, batch), paths)
