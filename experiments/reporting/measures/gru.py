"""Measures of the untrained GRU: Table 1, Figures 2, 5 and 6."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.reporting import quantities
from experiments.reporting.labels import label
from experiments.reporting.measures.measurement import Measurement, count, measured, number
from experiments.reporting.quantities import TOTAL, memory, memory_ratio, of, with_best_scan
from experiments.reporting.results import Column, NotMeasured, Results, Table, chosen
from experiments.reporting.tables.scaling_exponents import fit_all

SCALING, GPU, ACCURACY = "gru_scaling", "gpu_memory", "gru_accuracy"
GIGABYTE = 1e9
CELL = ["dim", "length"]


def scaling_exponents(source: Results, method: str, quantity: str) -> Measurement:
    """Exponents in T and D at batch size 1, which has the most sizes."""
    fits = fit_all(source.needed(SCALING, batch=1, method=method))
    fits = chosen(fits, quantity=quantity)
    in_length = chosen(fits, variable="length").query("fixed == fixed.max()").iloc[0]
    in_dim = chosen(fits, variable="dim").iloc[0]
    text = (
        f"{quantity}: exponents {in_length.exponent:z.2f} in T at D = {in_length.fixed}, "
        f"{in_dim.exponent:z.2f} in D at T = {in_dim.fixed:,}"
    )
    return measured({"T": in_length.exponent, "D": in_dim.exponent}, text, SCALING)


def total_memory_ratio(source: Results, batch: int, dim: int) -> Measurement:
    """Memory of DEER's program over quasi-DEER's at the largest T, with arguments and results."""
    table = source.needed(SCALING, batch=batch, dim=dim, method=["deer", "quasi_deer"])
    return _total_memory_ratio(table.drop_duplicates(["method", "length"]), SCALING)


def gpu_total_memory_ratio(source: Results, batch: int, dim: int) -> Measurement:
    """Memory of DEER's program over quasi-DEER's at the largest T, both compiled for a GPU."""
    table = _compiled(source, batch=batch, dim=dim, method=["deer", "quasi_deer"])
    return _total_memory_ratio(table, GPU)


def gpu_memory_needed(
    source: Results, batch: int, dim: int, length: int, method: str
) -> Measurement:
    """Memory of a method in one cell in gigabytes, compiled for a GPU."""
    cell = _compiled(source, batch=batch, dim=dim, length=length, method=method)
    gigabytes = float(memory(cell, TOTAL).iloc[0]) / GIGABYTE
    text = f"{number(gigabytes)} GB at {_at(dim, length)}, compiled for {quantities.GPU.upper()}"
    return measured({method: gigabytes}, text, GPU)


def largest_speedup(source: Results, batch: int, method: str) -> Measurement:
    """The largest ratio of sequential time to a method's, over the cells."""
    ratios = speedups(source, batch, method)
    best: Any = ratios.idxmax()
    text = f"{number(ratios.max())} times as fast at best, at {_at(*best)}"
    return measured({method: float(ratios.max())}, text, SCALING)


def speedups(source: Results, batch: int, method: str) -> Column:
    """Sequential time over a method's, for each D and T."""
    return time_ratios(source, batch, method, "sequential")


def speedups_at(source: Results, batch: int, dim: int, method: str) -> Column:
    """The same at one D, for each T in order."""
    ratios = speedups(source, batch, method).sort_index()
    if dim not in ratios.index.get_level_values("dim"):
        raise NotMeasured(f"no times at D = {dim}")
    return ratios.loc[dim]


def time_ratios(source: Results, batch: int, method: str, other: str) -> Column:
    """Another method's time over a method's, for each D and T."""
    table = with_best_scan(source.needed(SCALING, batch=batch), CELL)
    times = table.groupby(["method", *CELL])["time_s"].median()
    ratios = (of(times, other) / of(times, method)).dropna()
    if ratios.empty:
        raise NotMeasured(f"no cell with times of {label(method)} and of {label(other)}")
    return ratios


def speedup_on_long_sequences(source: Results, batch: int, method: str, over: str) -> Measurement:
    """Another method's time over a method's: the median over all D at the largest T of each."""
    longest = _on_long_sequences(source, batch, method, over)
    length = longest.index.get_level_values("length").max()
    text = (
        f"{number(longest.median())} times as fast in the median ({number(longest.min())} to "
        f"{number(longest.max())} over {len(longest)} widths, T = {length:,})"
    )
    return measured({method: float(longest.median())}, text, SCALING)


def least_speedup_on_long_sequences(
    source: Results, batch: int, method: str, over: str
) -> Measurement:
    """Another method's time over a method's: the smallest over all D at the largest T of each."""
    longest = _on_long_sequences(source, batch, method, over)
    worst: Any = longest.idxmin()
    text = (
        f"{number(longest.min())} times as fast at least, at {_at(*worst)}; "
        f"{number(longest.max())} at most, over {len(longest)} widths"
    )
    return measured({method: float(longest.min())}, text, SCALING)


def _on_long_sequences(source: Results, batch: int, method: str, over: str) -> Column:
    return time_ratios(source, batch, method, over).groupby("dim").tail(1)


def iterations_ratio(source: Results, batch: int) -> Measurement:
    """Iterations of quasi-DEER over DEER's: the smallest ratio over the cells."""
    table = source.needed(SCALING, batch=batch, method=["deer", "quasi_deer"])
    steps = table.groupby(["method", *CELL])["num_steps"].median()
    ratios = (of(steps, "quasi_deer") / of(steps, "deer")).dropna()
    if ratios.empty:
        raise NotMeasured("no cell with iterations of DEER and quasi-DEER")
    text = f"{number(ratios.min())} to {number(ratios.max())} times, over {len(ratios)} cells"
    return measured({"quasi_deer": float(ratios.min())}, text, SCALING)


def rounding_difference(source: Results) -> Measurement:
    """The largest difference from sequential states, in units of float32's epsilon."""
    table = source.needed(ACCURACY, inputs="normal")
    largest = table.groupby("method")["difference"].agg(lambda column: column.abs().max())
    units = largest / np.finfo(np.float32).eps
    shown = ", ".join(f"{label(str(name))} {value:.1e}" for name, value in largest.items())
    return measured({str(name): float(value) for name, value in units.items()}, shown, ACCURACY)


def parallel_wins(source: Results, batch: int) -> Measurement:
    """In how many cells the fastest parallel method beats sequential evaluation."""
    ratios = pd.concat([speedups(source, batch, name) for name in ("deer", "quasi_deer")], axis=1)
    best = ratios.max(axis=1)
    dim = best.index.get_level_values("dim").max()
    text = (
        f"a parallel method is faster in {count((best > 1).sum())} of {len(best)} cells up to "
        f"D = {dim}; the largest ratio is {number(best.max())}"
    )
    return measured({"share": float((best > 1).mean())}, text, SCALING)


def _compiled(source: Results, **cell: Any) -> Table:
    """Programs that were compiled for a GPU, forward pass."""
    table = source.needed(GPU, target=quantities.GPU, derivative="forward", **cell)
    return chosen(table, status="ok")


def _total_memory_ratio(table: Table, experiment: str) -> Measurement:
    """DEER's memory in all over quasi-DEER's; the table has one state size and one batch size."""
    ratio = memory_ratio(table, TOTAL)
    if ratio is None:
        raise NotMeasured("no length with the memory of DEER and quasi-DEER")
    where = _at(table["dim"].iloc[0], ratio.length)
    text = f"{number(ratio.value)} times the memory in all at {where}"
    return measured({"quasi_deer": ratio.value}, text, experiment)


def _at(dim: int, length: int) -> str:
    return f"D = {dim}, T = {length:,}"
