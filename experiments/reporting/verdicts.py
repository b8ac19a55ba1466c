"""How a measured claim is judged: the verdicts and their thresholds, each defined here, once."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from experiments.reporting.labels import label
from experiments.reporting.measures.measurement import Measurement
from experiments.reporting.results import NotMeasured

REPRODUCED = "reproduced"
CONSISTENT = "consistent"
MARGINAL = "marginal"
TIE = "tie"
NOT_REPRODUCED = "not reproduced"
UNTESTABLE = "not testable"
NOT_MEASURED = "not measured"
# From the best to the worst: of several values the worst decides.
JUDGED = (REPRODUCED, CONSISTENT, MARGINAL, TIE, NOT_REPRODUCED)
VERDICTS = (*JUDGED, UNTESTABLE, NOT_MEASURED)

# Two values are a tie where they differ by less than their repetitions do, and by less than this
# share in any case: the same program differs by a few percent from one process to the next, which
# repetitions within one process do not show.
LEAST_TIE = 0.05
# A value is marginal where it uses up the tolerance to within this share of it, on either side: the
# tolerances are round numbers chosen here, and a verdict that another round number turns is none.
MARGIN = 0.1
MEANINGS = (
    f"A verdict is '{CONSISTENT}' where the paper gives an upper bound and the value is below it, "
    f"'{MARGINAL}' where the value is off by as much as is allowed, give or take "
    f"{100 * MARGIN:.0f} % of that, '{TIE}' where two values that should differ do so by less "
    f"than the interquartile range of their repetitions or than {100 * LEAST_TIE:.0f} %, and "
    f"'{UNTESTABLE}' where the claim is about the speed of a GPU and the device is none."
)

Entry = Mapping[str, Any]


def verdict(entry: Entry, measurement: Measurement) -> str:
    """The verdict on what was measured, the worst of those on its values.

    **Raises:** `NotMeasured` where a value is missing that the criterion needs.
    """
    values = measurement.values
    targets = _targets(entry["against"], values)
    absent = [name for name in targets if name not in values]
    if absent:
        raise NotMeasured(f"no results for {', '.join(map(label, absent))}")
    if entry["judge"] == "in_order":
        return max(_order(list(targets), measurement), key=JUDGED.index)
    verdicts = [
        _compared(entry, values[name], target, measurement.spread.get(name))
        for name, target in targets.items()
    ]
    return max(verdicts, key=JUDGED.index)


def _targets(against: Any, values: Mapping[str, float]) -> dict[str, Any]:
    """The number that each value is compared with, by name; an order has names without numbers."""
    if isinstance(against, Mapping):
        return dict(against)
    return dict.fromkeys(against if isinstance(against, list) else values, against)


def _order(names: list[str], measurement: Measurement) -> Iterator[str]:
    """For each two neighbours whether the first is the smaller one."""
    values, spread = measurement.values, measurement.spread
    for one, other in pairwise(names):
        widest = max(spread.get(one, 0), spread.get(other, 0))
        if is_tie(values[one], values[other], widest):
            yield TIE
        else:
            yield REPRODUCED if values[one] < values[other] else NOT_REPRODUCED


def is_tie(one: float, other: float, spread: float) -> bool:
    """Whether two values differ too little; `spread` is that of repetitions, relative to them."""
    return abs(one - other) < max(LEAST_TIE, spread) * min(one, other)


def _compared(entry: Entry, value: float, target: float, spread: float | None) -> str:
    """The verdict on a number beside the paper's."""
    judge, tolerance = entry["judge"], entry.get("tolerance", 0)
    if judge == "upper_bound" and value < target - tolerance:
        return CONSISTENT
    # A ratio of repeated times against a bound says which of the two is the smaller one.
    if not tolerance and spread is not None and is_tie(value, target, spread):
        return TIE
    used = _used(judge, value, target, tolerance)
    if used <= 1 - MARGIN:
        return REPRODUCED
    return MARGINAL if used <= 1 + MARGIN else NOT_REPRODUCED


def _used(judge: str, value: float, target: float, tolerance: float) -> float:
    """How far a value is off, as a share of what is allowed."""
    match judge:
        case "at_least":
            return _share(target - value, tolerance)
        case "at_most" | "upper_bound":
            return _share(value - target, tolerance)
        case "within":
            return _share(abs(value - target), tolerance)
        case "within_factor":
            return _share(abs(math.log(value / target)), math.log(tolerance))
        case _:
            raise ValueError(f"{judge!r} is not a way to judge numbers.")


def _share(off: float, allowed: float) -> float:
    if off <= 0:
        return 0
    return off / allowed if allowed else math.inf


def criterion(entry: Entry) -> str:
    """How an entry is judged, in words."""
    wanted, tolerance = entry["against"], entry.get("tolerance")
    if isinstance(wanted, list):
        return "order: " + ", ".join(map(label, wanted))
    if isinstance(wanted, Mapping):
        target = ", ".join(f"{label(name)} {_short(value)}" for name, value in wanted.items())
    else:
        target = _short(wanted)
    match entry["judge"]:
        case "within_factor":
            return f"{target}, within a factor of {tolerance:g}"
        case "within":
            return f"{target}, within {tolerance:g}"
        case bound:
            slack = "" if tolerance is None else f" (tolerance {tolerance:g})"
            return f"{bound.replace('_', ' ')} {target}{slack}"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-")
