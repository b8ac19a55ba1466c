"""What a measure returns, and the results that it is computed from."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from experiments.reporting.labels import label
from experiments.reporting.results import Column, NotMeasured


class Measurement(NamedTuple):
    """Numbers by their names, a text that shows them with units, and the experiment behind them.

    `spread` is the interquartile range of repetitions behind a number, as a share of it; numbers
    that nothing was repeated for are not in it.
    """

    values: Mapping[str, float]
    text: str
    experiment: str
    spread: Mapping[str, float] = MappingProxyType({})


def relative_spread(values: Column) -> float:
    """The interquartile range of repetitions as a share of the median; 0 where one is infinite."""
    if not all(map(math.isfinite, values)):
        return 0.0
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return float((high - low) / middle) if middle else 0.0


def measured(
    values: Mapping[str, float],
    text: str,
    experiment: str,
    spread: Mapping[str, float] = MappingProxyType({}),
) -> Measurement:
    """Makes a measurement, or raises `NotMeasured` if there is no number or one is NaN."""
    missing = [name for name, value in values.items() if math.isnan(value)]
    if missing or not values:
        raise NotMeasured(f"no results for {', '.join(missing) or 'any of the sizes'}")
    return Measurement(values, text, experiment, spread)


def count(steps: float) -> str:
    """A number of iterations, or that the answer was not found."""
    return "not found" if math.isinf(steps) else f"{steps:,.0f}"


def power(value: float) -> str:
    """A small number with two digits: 1e-6, 0.0033."""
    return f"{value:.2g}".replace("e-0", "e-")


def number(value: float) -> str:
    """A number with three significant digits or its whole part, or the word infinite."""
    if math.isinf(value):
        return "infinite"
    if 1e3 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def listed(values: Mapping[str, float], show: Any = number) -> str:
    """Names and numbers in one line."""
    return ", ".join(f"{label(name)} {show(value)}" for name, value in values.items())
