"""Numbers of the report about chaos, wide states and other architectures."""

import numpy as np
import pandas as pd

from experiments.reporting.format import NOT_MEASURED, count, listed, quantity, seconds, share, span
from experiments.reporting.results import (
    Results,
    largest,
    median,
    pick,
    ratio,
    rows,
    smallest,
)

PARALLEL = ("deer", "quasi_deer")


def chaos(source: Results) -> dict[str, str]:
    """Iterations of a window at both ends of the tanh network's exponents; how often it pays."""
    table = source.table("chaos")
    window = largest(pick(table, "window"))
    numbers = {
        "chaos.length": span(source.settings("chaos", "length"), count),
        "chaos.window": count(window),
        "chaos.tanh_dim": span(source.settings("chaos", "tanh_dim"), count),
        "chaos.pays": _pays(table),
    }
    tanh = rows(table, system="tanh", window=window)
    exponents = pick(tanh, "exponent_per_step")
    ends = {"lowest": smallest(exponents), "highest": largest(exponents)}
    for name, exponent in ends.items():
        at = rows(tanh, exponent_per_step=exponent)
        numbers[f"chaos.tanh.{name}"] = quantity(exponent)
        for method in PARALLEL:
            steps = median(pick(at, "iterations_per_window", method=method))
            numbers[f"chaos.tanh.{name}.{method}.steps"] = count(steps)
    return numbers


def _pays(table: pd.DataFrame) -> str:
    """For how many systems some method in some window is faster than sequential evaluation."""
    if table.empty:
        return NOT_MEASURED
    keys = ["system", "parameter", "draw"]
    sequential = rows(table, method="sequential").groupby(keys)["time_s"].median()
    found = rows(table, status="ok")
    fastest = found.loc[found["method"] != "sequential"].groupby(keys)["time_s"].min()
    return share(int((fastest < sequential.reindex(fastest.index)).sum()), len(sequential))


def chunks(source: Results) -> dict[str, str]:
    """The least depth and the least work of two systems, and the chunks that have them."""
    table = rows(source.table("chunks"), status="reached")
    numbers = {}
    for system in ("gru", "argru"):
        own = rows(table, system=system)
        length = largest(pick(own, "length"))
        numbers[f"chunks.{system}.length"] = count(length)
        chunked = own.loc[(own["chunk"] > 1) & (own["method"] != "sequential")] if len(own) else own
        for name in ("depth", "work"):
            least = smallest(pick(chunked, f"{name}_evaluations"))
            best = rows(chunked, **{f"{name}_evaluations": least})
            prefix = f"chunks.{system}.{name}"
            numbers[prefix] = quantity(ratio(least, length))
            numbers[f"{prefix}.chunk"] = count(smallest(pick(best, "chunk")))
            numbers[f"{prefix}.sweeps"] = count(smallest(pick(best, "num_steps")))
    return numbers


def wide(source: Results) -> dict[str, str]:
    """Times at the largest width, and the widths at which a parallel method is faster."""
    table = rows(source.table("wide"), status="ok")
    dims = pick(table, "dim")
    widest = rows(table, dim=largest(dims))
    sequential = median(pick(widest, "time_s", method="sequential"))
    inputs_first = median(pick(widest, "time_s", method="inputs_first"))
    parallel = median(pick(widest, "time_s", method="quasi_deer"))
    chunked = median(pick(widest, "time_s", method="chunks"))
    return {
        "wide.dims": span(dims, count),
        "wide.largest": count(largest(dims)),
        "wide.length": span(pick(widest, "length"), count),
        "wide.sequential.time": seconds(sequential),
        "wide.inputs_first.time": seconds(inputs_first),
        "wide.quasi_deer.time": seconds(parallel),
        "wide.chunks.time": _refused(source, largest(dims)) or seconds(chunked),
        "wide.ratio": quantity(ratio(sequential, parallel)),
        "wide.inputs_first.ratio": quantity(ratio(inputs_first, parallel)),
        "wide.faster_at": _faster_at(table),
    }


def _refused(source: Results, dim: float) -> str:
    """What to say where chunks came to no accepted answer at this width, if so."""
    found = rows(source.table("wide"), dim=dim, method="chunks")
    return "" if found.empty or any(found.status == "ok") else "no answer that is accepted"


def _faster_at(table: pd.DataFrame) -> str:
    """The widths at which quasi-DEER is faster than sequential evaluation."""
    if table.empty:
        return NOT_MEASURED
    medians = table.groupby(["dim", "method"])["time_s"].median().unstack()
    if not {"sequential", "quasi_deer"} <= set(medians):
        return NOT_MEASURED
    faster = medians.loc[medians["quasi_deer"] < medians["sequential"]].index.to_numpy(float)
    return listed(count(dim) for dim in faster) if len(faster) else "none of them"


def architectures(source: Results) -> dict[str, str]:
    """Iterations of every cell, untrained and trained, and how often a parallel method pays."""
    table = source.table("architectures")
    found = rows(table, status="ok")
    tried = len(found) + len(rows(table, status="not converged"))
    numbers = {
        "architectures.cells": count(len(set(table["cell"])) if len(table) else np.nan),
        "architectures.length": span(pick(table, "length"), count),
        "architectures.dim": span(pick(table, "dim"), count),
        "architectures.solved": share(len(found), tried),
        "architectures.pays": share(
            int((pick(found, "time_s") < pick(found, "sequential_time_s")).sum()), len(found)
        ),
    }
    for weights in ("untrained", "trained"):
        for method in ("deer", "quasi_deer"):
            steps = pick(found, "num_steps", weights=weights, method=method)
            numbers[f"architectures.{weights}.{method}.steps"] = span(steps, count)
    return numbers
