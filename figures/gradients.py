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
# # The approximate gradient beside the exact one
#
# Reads the results of `experiments/gradients.py`: along a training with exact gradients, how far
# those of the diagonal are from them.

# %%
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import results
import style

COLOURS = ("#000000", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "soD^vP<"
MEASURES = {
    "angle_deg": "angle to the exact\ngradient (degrees)",
    "norm_ratio": "norm / exact norm",
}

# %% [markdown]
# ## A line for the whole gradient, one for the encoder's and one for each recurrence


# %%
def name_of(part: str) -> str:
    """A part of the model for a reader."""
    return {"all": "all weights"}.get(part, part.replace("recurrence_", "recurrence of layer "))


def draw_measure(axes: Axes, found: results.Found, measure: str) -> None:
    """One measure against the epoch."""
    columns = [name for name in found.table if name.startswith(f"{measure}_")]
    for column, colour, marker in zip(columns, COLOURS, MARKERS, strict=False):
        part = column.removeprefix(f"{measure}_")
        axes.plot(
            found.table["epoch"],
            found.table[column],
            color=colour,
            marker=marker,
            markersize=3,
            label=name_of(part),
        )
    axes.set(xlabel="epoch", ylabel=MEASURES[measure])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    figure, (angle, norm) = plt.subplots(1, 2, figsize=(style.NARROW_IN, 2.6), layout="constrained")
    draw_measure(angle, found, "angle_deg")
    angle.set_ylim(0, 90)
    draw_measure(norm, found, "norm_ratio")
    norm.set_ylim(0, None)
    norm.axhline(1, color="#777777", linewidth=0.8, zorder=1)
    handles, labels = angle.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    style.letter([angle, norm])
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "gradients")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("gradients", style.FORMATS))
