"""Measures of what the paper does not show: windows, damping, chaos, wide states, cells."""

import math

import numpy as np

from experiments.harness.outcome import REACHED
from experiments.reporting.labels import label
from experiments.reporting.measures.measurement import (
    Measurement,
    count,
    measured,
    number,
    power,
)
from experiments.reporting.quantities import SCANS, iterations
from experiments.reporting.results import Column, NotMeasured, Results, Table, chosen


def windows_work_ratio(source: Results, system: str) -> Measurement:
    """Evaluations of a step: the fewest on the whole sequence over the fewest in windows."""
    table = source.needed("windows", system=system, status=REACHED)
    whole = _least_work(chosen(table, evaluation="whole"))
    windows = _least_work(chosen(table, evaluation="windows"))
    ratio = whole["work_evaluations"] / windows["work_evaluations"]
    text = (
        f"{number(ratio)} times less: {count(windows['work_evaluations'])} evaluations "
        f"({label(windows['method'])}, windows of {windows['window']}) against "
        f"{count(whole['work_evaluations'])} ({label(whole['method'])}, whole)"
    )
    return measured({system: float(ratio)}, text, "windows")


def chunks_depth(source: Results, system: str) -> Measurement:
    """The fewest evaluations of f one after another over those of sequential evaluation."""
    table = source.needed("chunks", system=system, status=REACHED)
    stepped = chosen(table, method="sequential")["depth_evaluations"].iloc[0]
    chunked = _in_chunks(table)
    best = chunked.loc[chunked["depth_evaluations"].idxmin()]
    text = (
        f"{count(best['depth_evaluations'])} evaluations one after another of {count(stepped)} "
        f"({label(best['method'])}, chunks of {best['chunk']}, {count(best['num_steps'])} sweeps)"
    )
    return measured({system: float(best["depth_evaluations"] / stepped)}, text, "chunks")


def chunks_work(source: Results, system: str) -> Measurement:
    """The fewest evaluations of a step in chunks."""
    best = _least_work(_in_chunks(source.needed("chunks", system=system, status=REACHED)))
    each = best["work_evaluations"] / best["length"]
    text = (
        f"{number(each)} evaluations a step in chunks of {best['chunk']} ({label(best['method'])}, "
        f"{count(best['num_steps'])} sweeps)"
    )
    return measured({system: float(each)}, text, "chunks")


def _in_chunks(table: Table) -> Table:
    """The solves in chunks of more than a step."""
    chunked = table.loc[(table["chunk"] > 1) & (table["method"] != "sequential")]
    if chunked.empty:
        raise NotMeasured("no solve in chunks")
    return chunked


def radius_difference(source: Results, smallest: float, largest: float) -> Measurement:
    """The largest difference of the effective transition's spectral radius from 1 - √λ."""
    table = source.needed("damping_radius")
    table = table[table["damping"].between(smallest, largest)]
    difference = (table["radius_median"] - (1 - np.sqrt(table["damping"]))).abs()
    if difference.empty:
        raise NotMeasured(f"no radius with λ from {smallest} to {largest}")
    systems = ", ".join(label(name) for name in table["system"].unique())
    text = f"the spectral radius differs from it by {number(difference.max())} at most ({systems})"
    return measured({"difference": float(difference.max())}, text, "damping")


def scale_elk_ratio(source: Results, system: str) -> Measurement:
    """Iterations on the whole sequence: scale-ELK's over those of ELK with the filter."""
    table = source.needed("damping", system=system, evaluation="whole", status=REACHED)
    scaled = _fewest(chosen(table, method="scale_elk"))
    damped = _fewest(chosen(table, method="elk", estimate="filter", rule="fixed"))
    text = (
        f"{count(scaled['iterations'])} iterations (k = {power(scaled['value'])}) against "
        f"{count(damped['iterations'])} (λ = {power(damped['value'])})"
    )
    return measured({system: scaled["iterations"] / damped["iterations"]}, text, "damping")


def filter_and_smoother(source: Results) -> Measurement:
    """The share of solves of whole sequences with fixed λ that find the answer."""
    table = source.needed("damping", evaluation="whole", rule="fixed")
    found = (table["status"] == REACHED).groupby(table["estimate"])
    shares = {str(name): float(share) for name, share in found.mean().items()}
    text = ", ".join(f"{name} {found.sum()[name]} of {found.size()[name]}" for name in shares)
    return measured(shares, f"{text} solves", "damping")


def lyapunov_correlation(source: Results, method: str) -> Measurement:
    """Spearman's correlation of exponents with iterations in the longest window."""
    table = source.needed("chaos", method=method)
    table = table[table["window"] == table["window"].max()]
    exponents, steps = table["exponent_per_step"], table["num_steps"].fillna(math.inf)
    correlation = exponents.rank().corr(steps.rank())
    text = (
        f"{correlation:.2f} over {len(table)} systems; {count(steps.min())} to "
        f"{count(steps[np.isfinite(steps)].max())} iterations where the window is solved"
    )
    return measured({method: float(correlation)}, text, "chaos")


def wide_speedup(source: Results) -> Measurement:
    """At the largest D: the time of the fastest scan over that of the fastest parallel method."""
    table = source.needed("wide", status="ok")
    widest = chosen(table, dim=int(table["dim"].max()))
    times = widest.groupby("method")["time_s"].median()
    scans = times[times.index.isin(SCANS)]
    parallel = times.drop(scans.index)
    if parallel.empty or scans.empty:
        raise NotMeasured("no times of sequential evaluation and of a parallel method")
    ratio = float(scans.min() / parallel.min())
    text = f"{number(ratio)} times with {label(parallel.idxmin())} at D = {widest['dim'].iloc[0]}"
    return measured({"speedup": ratio}, text, "wide")


def trained_iterations_ratio(source: Results, method: str) -> Measurement:
    """Iterations with trained weights over those with untrained ones, the smallest of all cells."""
    table = source.needed("architectures", method=method)
    steps = table.assign(steps=iterations(table)).set_index("cell")
    trained = chosen(steps, weights="trained")["steps"]
    untrained = chosen(steps, weights="untrained")["steps"]
    ratios = trained / untrained
    text = (
        f"{number(ratios.min())} ({label(ratios.idxmin())}) to {number(ratios.max())} "
        f"({label(ratios.idxmax())}) times as many with {label(method)}"
    )
    return measured({method: float(ratios.min())}, text, "architectures")


def _least_work(table: Table) -> Column:
    return table.loc[table["work_evaluations"].idxmin()]


def _fewest(table: Table) -> Column:
    return table.loc[table["iterations"].idxmin()]
