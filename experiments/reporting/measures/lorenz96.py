"""Measures of Lorenz96 (Figure 8)."""

import math

import pandas as pd

from experiments.reporting.measures.argru import fastest_parallel
from experiments.reporting.measures.measurement import (
    Measurement,
    count,
    listed,
    measured,
    relative_spread,
)
from experiments.reporting.quantities import iterations
from experiments.reporting.results import Column, NotMeasured, Results, Table

EXPERIMENT = "lorenz96"
PARALLEL = ["deer", "quasi_deer", "elk", "quasi_elk"]


def lorenz96_iterations(source: Results) -> Measurement:
    """Median iterations to the threshold, the damped methods with the paper's dampings."""
    table = _at_best(source, source.needed(EXPERIMENT, method=PARALLEL))
    steps = iterations(table)
    values = _medians(steps, table)
    spread = _spreads(steps, table)
    return measured(values, f"{listed(values, count)} iterations", EXPERIMENT, spread)


def undamped_iterations(source: Results) -> Measurement:
    """The most iterations of DEER and quasi-DEER, in parts of T."""
    table = source.needed(EXPERIMENT, method=["deer", "quasi_deer"])
    length = source.setting(EXPERIMENT, "length")
    most = iterations(table).groupby(table["method"]).max()
    values = {str(name): float(value) for name, value in most.items()}
    shares = {name: value / length for name, value in values.items()}
    return measured(shares, f"at most {listed(values, count)}; T = {length:,}", EXPERIMENT)


def lorenz96_converged(source: Results) -> Measurement:
    """The share of solves that found the answer, with the paper's dampings."""
    table = _at_best(source, source.needed(EXPERIMENT, method=PARALLEL))
    steps = iterations(table)
    share = float(steps.map(math.isfinite).mean())
    medians = listed(_medians(steps, table), count)
    text = f"{steps.map(math.isfinite).sum()} of {len(steps)} solves; iterations: {medians}"
    return measured({"share": share}, text, EXPERIMENT)


def lorenz96_farthest_iterate(source: Results) -> Measurement:
    """The largest MAD of any iterate over that of the guess of zeros, the largest over starts."""
    table = _at_best(source, source.needed("lorenz96_convergence"))
    peaks = table.groupby(["method", "start"])["mad"].max()
    guesses = table.query("iteration == 0").groupby(["method", "start"])["mad"].first()
    ratios = (peaks / guesses).groupby("method").max()
    values = {str(name): float(value) for name, value in ratios.items()}
    return measured(values, f"{listed(values)} times as far as the guess", EXPERIMENT)


def lorenz96_fastest_parallel(source: Results) -> Measurement:
    """The time of the fastest parallel method over that of sequential evaluation."""
    table = source.needed(EXPERIMENT)
    kept = pd.concat([table.query("method == 'sequential'"), _at_best(source, table)])
    times = kept.groupby("method")["time_s"].median()
    return fastest_parallel(times, EXPERIMENT, _spreads(kept["time_s"], kept))


def _at_best(source: Results, table: Table) -> Table:
    """The rows of parallel methods with the paper's dampings, without the rest of the sweeps."""
    best = {name: source.setting(EXPERIMENT, f"{name}_damping") for name in ("elk", "quasi_elk")}
    wanted = table["method"].map(best).fillna(0.0)
    kept = table[table["method"].isin(PARALLEL) & (table["damping"].fillna(0.0) == wanted)]
    if kept.empty:
        raise NotMeasured("no results at the paper's dampings")
    return kept


def _spreads(values: Column, table: Table) -> dict[str, float]:
    """How far the starting states of each method lie apart."""
    return {str(name): relative_spread(own) for name, own in values.groupby(table["method"])}


def _medians(steps: Column, table: Table) -> dict[str, float]:
    medians = steps.groupby(table["method"], sort=False).median()
    return {str(name): float(value) for name, value in medians.items()}
