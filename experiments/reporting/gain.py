"""The picture that shows the gain: how many times as fast as by `lax.scan` a GRU is evaluated.

A bar goes to the right from 1 where a method is faster and to the left where it is slower.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from experiments.harness.methods import BEST_SCAN
from experiments.reporting import svg
from experiments.reporting.format import count, quantity
from experiments.reporting.labels import label
from experiments.reporting.measures.gru import speedups_at
from experiments.reporting.results import NotMeasured, Results

# Batch size and state size: those of the right end of the paper's Figure 2.
BATCH, DIM = 16, 64
COLOURS = {
    BEST_SCAN: "#777777",
    "quasi_deer": "#0072b2",
    "chunks": "#c0103c",
    "by_default": "#1b7837",
}
ABOUT = (
    "How many times as fast as plain jax.lax.scan the states of an untrained GRU are found "
    f"(batch size {BATCH}, D = {DIM})"
)
WIDTH, LEFT, RIGHT = 540, 165, 85
ROW, TITLE, AXIS = 24, 30, 40


class Gain(NamedTuple):
    """What a device gains: at a length of the sequences, a ratio for each method."""

    source: Results
    length: int
    ratios: dict[str, float]


def gains(sources: Iterable[Results]) -> list[Gain]:
    """One for each device, of its newest source that has the times; the largest gain first."""
    found: dict[str, Gain] = {}
    for source in sorted(sources, key=lambda one: one.name, reverse=True):
        if source.devices not in found and (gain := _gain(source)):
            found[source.devices] = gain
    return sorted(found.values(), key=lambda one: -max(one.ratios.values()))


def draw(shown: Sequence[Gain]) -> str:
    """A panel of bars for each device."""
    ratios = [ratio for gain in shown for ratio in gain.ratios.values()]
    low = math.floor(math.log10(min([*ratios, 0.9])))
    high = math.ceil(math.log10(max([*ratios, 2])))

    def place(ratio: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(ratio) - low) / (high - low)

    height = sum(TITLE + ROW * len(gain.ratios) for gain in shown) + AXIS
    shapes = [svg.box(0, 0, WIDTH, height, 'rx="6" fill="white"')]
    for power in range(low, high + 1):
        shapes += _tick(10.0**power, place(10.0**power), height)
    top = 0
    for gain in shown:
        title = f"{gain.source.devices}, T = {count(gain.length)}"
        shapes.append(svg.text(12, top + 22, title, 'font-size="14" font-weight="bold"'))
        top += TITLE
        for method, ratio in gain.ratios.items():
            shapes += _bar(method, ratio, place, top)
            top += ROW
    return svg.picture(WIDTH, height, ABOUT, shapes)


def caption(shown: Sequence[Gain]) -> str:
    """What the picture shows and where it comes from, in Markdown."""
    where = "; ".join(f"{one.source.devices}: `results/{one.source.name}`" for one in shown)
    return f"{ABOUT.replace('jax.lax.scan', '`jax.lax.scan`')}. {where}."


def _gain(source: Results) -> Gain | None:
    columns = {method: column for method in COLOURS for column in _column(source, method)}
    if not columns:
        return None
    together = pd.DataFrame(columns).dropna().sort_index()
    if together.empty:
        return None
    return Gain(source, int(together.index[-1]), together.iloc[-1].to_dict())


def _column(source: Results, method: str) -> Iterator[pd.Series]:
    try:
        yield speedups_at(source, BATCH, DIM, method)
    except NotMeasured:
        return


def _tick(value: float, x: float, height: float) -> list[str]:
    colour = "#555" if value == 1 else "#ddd"
    words = "1, lax.scan" if value == 1 else f"{value:g}"
    return [
        svg.path(f"M{x:.1f} 8V{height - 26:g}", f'stroke="{colour}"'),
        svg.text(x, height - 10, words, 'font-size="12" fill="#333" text-anchor="middle"'),
    ]


def _bar(method: str, ratio: float, place, top: float) -> list[str]:
    start, end = sorted((place(1), place(ratio)))
    words = f"{quantity(ratio)} times"
    return [
        svg.text(LEFT - 20, top + 15, label(method), 'font-size="13" text-anchor="end"'),
        svg.box(start, top + 3, end - start, ROW - 8, f'fill="{COLOURS[method]}"'),
        svg.text(end + 6, top + 15, words, 'font-size="13"'),
    ]
