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
# # What damping does
#
# Reads the results of `experiments/damping.py`: three recurrences solved with many dampings.

# %%
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import results
import style

TITLES = {"argru": "AR GRU", "lorenz96": "Lorenz96", "classifier": "trained classifier"}
DAMPED = [
    ("elk", "filter"),
    ("elk", "smoother"),
    ("quasi_elk", "filter"),
    ("quasi_elk", "smoother"),
]
# scale-ELK with the dense Jacobian and with its diagonal; without scaling these are DEER and
# quasi-DEER, whose looks they share.
SCALED = {"scale_elk": "deer", "quasi_scale_elk": "quasi_deer"}
REACHED = "reached"
ADAPTIVE = 1.6  # places from the largest λ to the adaptive rule
LEAST_GUIDE = 3  # iterations from which on predictions are drawn
SHARE_OF_CROSSES = 0.24  # the upper part of a panel, where solves that failed are marked

GUIDE = {"color": "#C8C8C8", "linewidth": 2.0, "zorder": 0}

# %% [markdown]
# ## Iterations against λ
#
# To the left of the swept λ stands 0, which is DEER or quasi-DEER; to the right the adaptive rule.
# A cross in the upper part, one row for each line, is a solve that did not get there. Grey: what
# the reach of a change predicts, the caption says why.


# %%
class Places(NamedTuple):
    """Where a panel against λ begins and ends, in log10 λ."""

    first: float
    last: float

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Places":
        """The places of the swept λ on a logarithmic axis."""
        swept = np.log10(results.rows(table, rule="fixed")["value"].to_numpy())
        return cls(swept.min(), swept.max())

    def label(self, axes: Axes) -> None:
        """Ticks at powers of ten, at no damping and at the adaptive rule."""
        powers = np.arange(np.ceil(self.first), self.last + 0.5, 2).astype(int)
        labels = ["0", *map(style.plain, 10.0**powers), "adapt."]
        axes.set_xticks([self.first - 1, *powers, self.last + ADAPTIVE], labels=labels)
        axes.set_xlim(self.first - 1.5, self.last + ADAPTIVE + 0.5)
        axes.set_xlabel("damping λ")


def look_of(method: str, estimate: str) -> dict:
    """Options of `Axes.plot` that draw a method; with the smoother hollow and dotted."""
    options = {**style.line_options(method), "markersize": 3.5, "linestyle": "-"}
    if estimate == "smoother":
        options |= {"markerfacecolor": "white", "linestyle": ":"}
    return options


def draw_dampings(axes: Axes, cells: pd.DataFrame, places: Places, steps: int) -> None:
    """Lines against λ, with points for no damping and for the adaptive rule.

    Grey: steps times √λ, where `steps` is the length of what is solved at once.
    """
    for row, (method, estimate) in enumerate(DAMPED):
        own = results.rows(cells, method=method, estimate=estimate)
        look = look_of(method, estimate)
        for rule, options in (("fixed", look), ("adaptive", {**look, "linestyle": "none"})):
            solves = results.rows(own, rule=rule).sort_values("value")
            place = np.log10(solves["value"].to_numpy())
            if rule == "adaptive":
                place = np.full(len(solves), places.last + ADAPTIVE)
            # NaN breaks the line where a solve in between failed.
            axes.plot(place, solves["iterations"], **options)
            failed = place[(solves["status"] != REACHED).to_numpy()]
            mark_failed(axes, failed, row / len(DAMPED), look["color"])
    for method, undamped in SCALED.items():
        height = results.rows(cells, method=method, value=0)["iterations"]
        look = {**style.line_options(undamped), "linestyle": "none", "clip_on": False}
        axes.plot([places.first - 1] * len(height), height, **look)
    log_damping = np.linspace(places.first, places.last)
    draw_guide(axes, log_damping, steps * 10 ** (log_damping / 2))


def draw_guide(axes: Axes, place: np.ndarray, height: np.ndarray) -> None:
    """A grey line of what the reach of a change predicts."""
    height = np.where(height < LEAST_GUIDE, np.nan, height)
    axes.plot(place, height, **GUIDE)


def mark_failed(axes: Axes, places: np.ndarray, row: float, colour: str) -> None:
    """Crosses in the upper part of a panel; rows run from 0, the highest, to 1."""
    height = 1 - SHARE_OF_CROSSES * (0.1 + 0.9 * row)
    look = {"color": colour, "marker": "x", "markersize": 3, "linestyle": "none"}
    axes.plot(places, [height] * len(places), transform=axes.get_xaxis_transform(), **look)


# %% [markdown]
# ## scale-ELK and clip-ELK
#
# scale-ELK multiplies the Jacobian by 1 - k. Filled: the whole sequence, hollow: in windows.


# %%
def draw_scales(axes: Axes, cells: pd.DataFrame, length: int) -> None:
    """A line for each kind of Jacobian and evaluation; horizontal lines for clip-ELK."""
    values = np.unique(results.rows(cells, rule="scale")["value"])
    zero = np.log10(values[values > 0].min()) - 0.5
    pairs = [(method, evaluation) for method in SCALED for evaluation in ("whole", "windows")]
    for row, (method, evaluation) in enumerate(pairs):
        own = results.rows(cells, method=method, evaluation=evaluation)
        own = own.sort_values("value")
        scaled = own["value"].to_numpy()
        place = np.where(scaled > 0, np.log10(np.where(scaled > 0, scaled, 1)), zero)
        look = {**style.line_options(SCALED[method]), "markersize": 3.5, "linestyle": "-"}
        if evaluation == "windows":
            look |= {"markerfacecolor": "white", "linestyle": ":"}
        axes.plot(place, own["iterations"], **look)
        failed = place[(own["status"] != REACHED).to_numpy()]
        mark_failed(axes, failed, row / len(pairs), look["color"])
    clipped = results.rows(cells, method="clip_elk").set_index("evaluation")["iterations"].to_dict()
    colour = style.METHODS["clip_elk"].colour
    for evaluation, line in (("whole", "-"), ("windows", ":")):
        axes.axhline(clipped[evaluation], color=colour, linestyle=line, linewidth=1)
    last = np.log10(values.max())
    log_scale = np.linspace(zero + 0.5, last)
    draw_guide(axes, log_scale, length * 10**log_scale)
    powers = np.arange(np.ceil(zero + 0.5), last + 0.1).astype(int)
    axes.set_xticks([zero, *powers], labels=["0", *map(style.plain, 10.0**powers)])
    axes.set_xlabel("k of scale-ELK")


# %% [markdown]
# ## Spectral radius of the effective transition
#
# Of (I - K_t) A_t along the answer, less 1, so that 0 is the border of stability; the axis is
# linear next to it and logarithmic outside. Line: the median over the steps, band: from the 5 %
# to the 95 % quantile. Dashed: the factor, less 1, by which a change grows in a step on average
# when all transitions act on it in turn.


# %%
def draw_radii(axes: Axes, radii: pd.DataFrame, places: Places) -> None:
    """A line with its band for ELK and quasi-ELK; the place of 0 is that of the panels above."""
    for method in ("elk", "quasi_elk"):
        own = results.rows(radii, method=method).sort_values("damping")
        damping = own["damping"].to_numpy()
        place = np.log10(np.where(damping > 0, damping, 10 ** (places.first - 1)))
        colour = style.METHODS[method].colour
        look = {**style.line_options(method), "markersize": 3.5, "linestyle": "-"}
        axes.plot(place, own["radius_median"] - 1, **look)
        low, high = own["radius_low"].to_numpy() - 1, own["radius_high"].to_numpy() - 1
        axes.fill_between(place, low, high, color=colour, alpha=0.2, linewidth=0)
        growth = np.expm1(own["growth_exponent_per_step"].to_numpy())
        axes.plot(place, growth, color=colour, linestyle="--", linewidth=0.8)
    log_damping = np.linspace(places.first, places.last)
    axes.plot(log_damping, -(10 ** (log_damping / 2)), **GUIDE)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_yscale("symlog", linthresh=1e-2, linscale=0.7)
    axes.set_yticks([-1, -0.1, -0.01, 0, 0.01])
    axes.minorticks_off()
    axes.set_ylim(-1.1, 0.06)
    powers = np.arange(np.ceil(places.first), places.last + 0.5, 2).astype(int)
    labels = ["0", *map(style.plain, 10.0**powers)]
    axes.set_xticks([places.first - 1, *powers], labels=labels)
    axes.set_xlabel("damping λ")


# %% [markdown]
# ## The whole figure: a column for each recurrence


# %%
def legend(figure: Figure) -> None:
    """What the panels have in common."""
    handles = [
        Line2D(
            [],
            [],
            label=f"{style.METHODS[method].label}, {estimate}",
            **look_of(method, estimate),
        )
        for method, estimate in DAMPED
    ]
    for method, label in (("deer", "dense"), ("quasi_deer", "diagonal")):
        look = {**style.line_options(method), "linestyle": "-"}
        name = style.METHODS[method].label
        handles.append(Line2D([], [], label=f"{name}; scale-ELK, {label}", **look))
    colour = style.METHODS["clip_elk"].colour
    handles.append(Line2D([], [], label="clip-ELK", color=colour))
    cross = {"color": "#555555", "marker": "x", "markersize": 3, "linestyle": "none"}
    handles.append(Line2D([], [], label="did not get there", **cross))
    handles.append(Line2D([], [], label="T √λ, W √λ, T k, -√λ", **GUIDE))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)


def draw(found: results.Found) -> Figure:
    """The whole figure."""
    (record,) = found.records
    table, radii = found.table, found.beside("radius")
    window = record["configuration"]["window"]
    names = [name for name in TITLES if name in set(table["system"])]
    figure, grid = plt.subplots(
        4,
        len(names),
        figsize=(style.PAGE_WIDTH_IN, 7.0),
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for column, name in zip(grid.T, names, strict=True):
        cells = results.rows(table, system=name)
        places = Places.of(cells)
        about = record["summary"][name]
        length = about["length"]
        threshold = f"MAD < {about['threshold']:g}"
        shape = f"D = {about['state_size']}, T = {length:,}"
        column[0].set_title(f"{TITLES[name]}, {threshold}\n{shape}")
        draw_dampings(column[0], results.rows(cells, evaluation="whole"), places, length)
        draw_dampings(column[1], results.rows(cells, evaluation="windows"), places, window)
        draw_scales(column[2], cells, length)
        draw_radii(column[3], results.rows(radii, system=name), places)
        for axes in column[:2]:
            places.label(axes)
    for axes in grid[:3].ravel():
        axes.set_yscale("log")
        axes.minorticks_off()
    for axes in grid[:3, 0]:  # the panels of a row share one scale
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** (SHARE_OF_CROSSES / (1 - SHARE_OF_CROSSES)))
    grid[0, 0].set_ylabel("iterations,\nwhole sequence")
    grid[1, 0].set_ylabel(f"iterations of a window\nof {window} steps")
    grid[2, 0].set_ylabel("iterations")
    grid[3, 0].set_ylabel("spectral radius of\n(I - K) A, less 1")
    style.letter(grid[:, 0])
    figure.align_ylabels()
    legend(figure)
    style.footer(figure, results.provenance(found.records))
    return figure


# %% [markdown]
# ## Draw

# %%
style.apply()
found = results.load(globals(), "damping")
if "snakemake" in globals():
    style.save(draw(found), globals()["snakemake"].output)
else:
    style.finish(draw(found), found.figure_paths("damping", style.FORMATS))
