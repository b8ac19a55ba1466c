"""Measures of the autoregressive GRU: Figures 4 and 7, Table 2. Sweeps of Lorenz96 too."""

import math
from collections.abc import Mapping

from experiments.reporting.format import listed as in_words
from experiments.reporting.format import share
from experiments.reporting.labels import label
from experiments.reporting.measures.measurement import (
    Measurement,
    count,
    listed,
    measured,
    number,
    power,
    relative_spread,
)
from experiments.reporting.quantities import farthest_iterates, iterations, iterations_by_damping
from experiments.reporting.results import Column, NotMeasured, Results, Table, chosen
from experiments.reporting.tables import argru_seeds, table_2

EXPERIMENT = "argru"
UNDAMPED = ["deer", "quasi_deer"]
DAMPED = ["elk", "quasi_elk"]


def argru_iterations(source: Results, model: str, method: str | None = None) -> Measurement:
    """Iterations to MAD < 0.1: median over draws of noise, of all methods or of one."""
    table = source.needed(EXPERIMENT, model=model)
    if method is not None:
        table = chosen(table, method=method)
    steps = iterations(table).groupby(table["method"], sort=False)
    values = {str(name): float(value) for name, value in steps.median().items()}
    if method is None:
        spread = {str(name): relative_spread(own) for name, own in steps}
        return measured(values, listed(values, count), EXPERIMENT, spread)
    low, high = steps.min().iloc[0], steps.max().iloc[0]
    text = f"{count(values[method])} iterations ({count(low)} to {count(high)})"
    return measured(values, text, EXPERIMENT)


def argru_order(source: Results) -> Measurement:
    """Iterations on the trained model, beside the seeds for which the paper's order holds."""
    found = argru_iterations(source, "trained")
    return found._replace(text=f"{found.text}; {_seeds(source)}")


def _seeds(source: Results) -> str:
    """For which seeds of the training the paper's order holds, in words."""
    if not source.has(argru_seeds.EXPERIMENT):
        return "other seeds of the training not measured here"
    table = argru_seeds.tabulate(source.needed(argru_seeds.EXPERIMENT))
    missed = table.loc[~table["in_order"], "training_seed"].map(str)
    named = f" (not {in_words(missed)})" if len(missed) else ""
    held = share(len(table) - len(missed), len(table))
    return f"the order holds for {held} seeds of the training{named}"


def argru_times(source: Results, quantity: str) -> Measurement:
    """Times of the parallel methods on the trained AR GRU."""
    table = _times(source)
    values = dict(zip(table["method"], table[quantity].astype(float), strict=True))
    del values["sequential"]
    milliseconds = {name: 1e3 * value for name, value in values.items()}
    return measured(values, f"{listed(milliseconds)} ms", EXPERIMENT, _spreads(source))


def argru_fastest_parallel(source: Results) -> Measurement:
    """The time of the paper's fastest parallel method over that of sequential evaluation."""
    times = _times(source).set_index("method")["time_s"].astype(float)
    return fastest_parallel(times[[*table_2.PAPER]], EXPERIMENT, _spreads(source))


def fastest_parallel(times: Column, experiment: str, spread: Mapping[str, float]) -> Measurement:
    """The shortest time of a parallel method over that of sequential evaluation.

    **Arguments:**

    - `times`: seconds by method; one that is NaN does not count.
    - `spread`: of the repetitions of each, as a share.
    """
    times = times.dropna()
    if "sequential" not in times or len(times) < 2:
        raise NotMeasured("no times of sequential evaluation and of a method that found the answer")
    parallel = times.drop("sequential")
    best, sequential = parallel.idxmin(), times["sequential"]
    ratio = float(parallel.min() / sequential)
    text = (
        f"sequential {number(1e3 * sequential)} ms, {label(str(best))} "
        f"{number(1e3 * parallel.min())} ms: {number(ratio)} times as long"
    )
    widest = max(spread[str(best)], spread["sequential"])
    return measured({"fastest": ratio}, text, experiment, {"fastest": widest})


def argru_farthest_iterate(source: Results) -> Measurement:
    """The largest MAD of any iterate on the trained AR GRU, median over draws of noise."""
    table = source.needed("argru_mad", model="trained")
    peaks = farthest_iterates(table)
    undamped = [peaks[name] for name in UNDAMPED if name in peaks]
    damped = {name: peaks[name] for name in DAMPED if name in peaks}
    if not undamped or not damped:
        raise NotMeasured("no iterates of damped and of undamped methods")
    shown = listed({**damped, **{name: peaks[name] for name in UNDAMPED if name in peaks}})
    values = {**damped, "undamped": min(undamped)}
    return measured(values, f"largest MAD of an iterate: {shown}", EXPERIMENT)


def sweep(source: Results, experiment: str, method: str) -> Column:
    """Median iterations by λ, infinite where the answer was not found."""
    table = source.needed(experiment, method=method)
    return iterations_by_damping(table)


def best_damping(source: Results, experiment: str, method: str) -> Measurement:
    """The λ of a sweep with the fewest iterations."""
    steps = sweep(source, experiment, method)
    if math.isinf(steps.min()):
        return measured({method: math.inf}, "answer not found with any λ", experiment)
    best = float(steps.idxmin())
    text = f"λ = {power(best)}, with {count(steps[best])} iterations"
    return measured({method: best}, text, experiment)


def worse_at_both_ends(source: Results, experiment: str) -> Measurement:
    """For each method the iterations at the better end of its sweep over its fewest iterations."""
    values, texts = {}, []
    for method in DAMPED:
        steps = sweep(source, experiment, method)
        low, high = steps.iloc[0], steps.iloc[-1]
        least = steps.min()
        values[method] = 1.0 if math.isinf(least) else float(min(low, high) / least)
        texts.append(
            f"{label(method)} {count(least)} at λ = {power(steps.idxmin())}, "
            f"{count(low)} at {power(steps.index[0])}, {count(high)} at {power(steps.index[-1])}"
        )
    return measured(values, f"iterations: {'; '.join(texts)}", experiment)


def _spreads(source: Results) -> dict[str, float]:
    """How far the repetitions of each method's time lie apart."""
    times = source.needed("argru_times").groupby("method")["time_s"]
    return {str(name): relative_spread(own) for name, own in times}


def _times(source: Results) -> Table:
    return table_2.tabulate(source.needed(EXPERIMENT), source.needed("argru_times"))
