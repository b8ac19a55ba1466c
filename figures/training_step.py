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
# # The time of an update at the shape of the paper's data
#
# Reads the results of `experiments/training_step.py` (the bottom of Figure 3).

# %%
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import results
import style
from variants import draw_times, look, method_of, shape, variants

# %% [markdown]
# ## The iterations behind a time


# %%
def draw_layers(axes: Axes, table: pd.DataFrame) -> None:
    """The iterations of each layer, or its sweeps in chunks."""
    columns = [name for name in table if name.startswith("num_steps_layer_")]
    layers = range(1, 1 + len(columns))
    for variant in variants(table):
        steps = results.rows(table, variant=variant)[columns].mean()
        if steps.any():  # sequential evaluation has none
            axes.plot(layers, steps, **look(variant))
    axes.set(xlabel="layer", ylabel="iterations, sweeps", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


# %% [markdown]
# ## The figure


# %%
def draw(found: results.Found) -> Figure:
    """The whole figure."""
    table = results.with_best_scan(found.table, [], column="variant")
    figure, (times, steps) = plt.subplots(
        1, 2, figsize=(style.PAGE_WIDTH_IN, 2.4), layout="constrained"
    )
    draw_times(times, table)
    setting = found.records[0]["configuration"]
    times.set_title(shape("random data of EigenWorms' shape", setting), fontsize=7)
    draw_layers(steps, table)
    style.letter((times, steps))
    shown = set(map(method_of, variants(table)))
    style.legend_above(figure, [name for name in style.METHODS if name in shown])
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "training_step")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("training_step", style.FORMATS))
