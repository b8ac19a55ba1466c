"""Numbers of the report about time, memory and rounding: Figures 2, 5 and 6, Table 1."""

import numpy as np
import pandas as pd

from experiments.harness.outcome import COMPLETED, OUT_OF_MEMORY
from experiments.reporting import quantities
from experiments.reporting.format import NOT_MEASURED, count, quantity, seconds, share, size, span
from experiments.reporting.quantities import TOTAL, memory, memory_ratio, with_best_scan
from experiments.reporting.results import Results, largest, median, pick, ratio, rows
from experiments.reporting.tables import scaling_exponents

METHODS = ("sequential", "deer", "quasi_deer")
BASELINES = ("best_scan", "chunks")
GPU_METHODS = ("sequential", "deer", "quasi_deer", "elk", "quasi_elk", "windowed_deer")
BATCHES = (1, 16)
# The memory of the paper's GPU.
CARD_BYTES = 16e9


def gru_scaling(source: Results) -> dict[str, str]:
    """Settings and results of the untrained GRU, for each batch size."""
    table = source.table("gru_scaling")
    numbers = {
        "gru_scaling.tolerance": span(source.settings("gru_scaling", "tolerance")),
        "gru_scaling.seeds": span(source.settings("gru_scaling", "seeds"), count),
        "gru_scaling.repetitions": span(source.settings("gru_scaling", "repetitions"), count),
    }
    for batch in BATCHES:
        numbers |= _scaling(rows(table, batch=batch), f"gru_scaling.batch{batch}")
    return numbers | _exponents(table)


def _scaling(table: pd.DataFrame, prefix: str) -> dict[str, str]:
    deer = rows(table, method="deer")
    wide = deer.loc[deer["dim"] > 1] if "dim" in deer else deer
    numbers = {
        "size": span(pick(table, "batch"), count),
        "dims": span(pick(table, "dim"), count),
        "lengths": span(pick(table, "length"), count),
        "deer.steps": span(pick(wide, "num_steps"), count),
        "quasi_deer.steps": span(pick(rows(table, method="quasi_deer"), "num_steps"), count),
        "out_of_memory": _cells(deer, OUT_OF_MEMORY),
    }
    dim, length = _largest_cell(rows(table, status=COMPLETED))
    cell = rows(table, dim=dim, length=length)
    numbers |= {"largest.dim": count(dim), "largest.length": count(length)}
    temporary = {name: median(pick(cell, "temp_memory_bytes", method=name)) for name in METHODS}
    for name in METHODS:
        numbers[f"largest.{name}.time"] = seconds(median(pick(cell, "time_s", method=name)))
        numbers[f"largest.{name}.memory"] = size(temporary[name])
    compared = with_best_scan(cell, ["dim", "length"]) if len(cell) else cell
    for name in BASELINES:
        numbers[f"largest.{name}.time"] = seconds(median(pick(compared, "time_s", method=name)))
    numbers["largest.temporary_ratio"] = quantity(ratio(temporary["deer"], temporary["quasi_deer"]))
    numbers |= _total_ratio(table)
    return {f"{prefix}.{name}": text for name, text in numbers.items()}


def _largest_cell(completed: pd.DataFrame) -> tuple[float, float]:
    """The largest D that all methods completed, and of its lengths the largest."""
    if completed.empty:
        return np.nan, np.nan
    methods = completed.groupby(["dim", "length"], as_index=False).agg({"method": "nunique"})
    complete = rows(methods, method=largest(pick(methods, "method")))
    dim = largest(pick(complete, "dim"))
    return dim, largest(pick(complete, "length", dim=dim))


def _cells(table: pd.DataFrame, status: str) -> str:
    """How many of the cells of a method have a status."""
    if table.empty:
        return share(0, 0)
    cells = table.drop_duplicates(["dim", "length"])
    return share(len(rows(cells, status=status)), len(cells))


def _exponents(table: pd.DataFrame) -> dict[str, str]:
    """Fitted exponents in D, for each method and the smallest batch size."""
    fits = scaling_exponents.fit_all(table) if len(table) else pd.DataFrame()
    numbers = {}
    for method in METHODS:
        for quantity_, name in (
            (scaling_exponents.TIME, "time"),
            (scaling_exponents.MEMORY, "memory"),
        ):
            found = rows(fits, batch=1, method=method, quantity=quantity_, variable="dim")
            text = quantity(median(np.round(pick(found, "exponent"), 2)))
            numbers[f"gru_scaling.exponent.{method}.{name}"] = text
    return numbers


def gpu_memory(source: Results) -> dict[str, str]:
    """Memory on a GPU, batch size 16: of the largest program, and what fits the paper's card."""
    table = rows(source.table("gpu_memory"), status=COMPLETED, derivative="forward")
    table = rows(table, target=quantities.GPU, batch=BATCHES[1])
    dim, length = largest(pick(table, "dim")), largest(pick(table, "length"))
    numbers = {
        "target": quantities.GPU.upper() if len(table) else NOT_MEASURED,
        "batch": count(largest(pick(table, "batch"))),
        "dim": count(dim),
        "length": count(length),
        "window": span(source.settings("gpu_memory", "window"), count),
        "card": size(CARD_BYTES),
    }
    cell = rows(table, dim=dim, length=length)
    temporary = {name: median(pick(cell, "temp_memory_bytes", method=name)) for name in GPU_METHODS}
    for name in GPU_METHODS:
        own = rows(table, method=name)
        numbers[f"{name}.memory"] = size(median(_total(rows(cell, method=name))))
        numbers[f"{name}.fits"] = share(int((_total(own) <= CARD_BYTES).sum()), len(own))
        numbers[f"{name}.kernels"] = span(pick(own, "kernels_per_iteration"), count)
    numbers["temporary_ratio"] = quantity(ratio(temporary["deer"], temporary["quasi_deer"]))
    numbers |= _total_ratio(table)
    return {f"gpu_memory.{name}": text for name, text in numbers.items()}


def _total(table: pd.DataFrame) -> np.ndarray:
    """The memory in all of each program in bytes; empty where there are no results."""
    return memory(table, TOTAL).to_numpy(float) if len(table) else np.empty(0)


def _total_ratio(table: pd.DataFrame) -> dict[str, str]:
    """DEER's memory in all over quasi-DEER's at the largest D, with the length that it is at."""
    widest = rows(table, dim=largest(pick(table, "dim")))
    found = memory_ratio(widest, TOTAL) if len(widest) else None
    value, length = found or (np.nan, np.nan)
    return {"total_ratio": quantity(value), "total_ratio.length": count(length)}


def gru_accuracy(source: Results) -> dict[str, str]:
    """Differences from sequential evaluation, on noise and on a recording."""
    records = source.records("gru_accuracy")
    summary = records[0]["summary"] if records else {}
    numbers = {
        "gru_accuracy.tolerance": span(source.settings("gru_accuracy", "tolerance")),
        "gru_accuracy.dim": span(source.settings("gru_accuracy", "dim"), count),
    }
    for inputs in ("normal", "watch"):
        found = summary.get(inputs, {})
        prefix = f"gru_accuracy.{inputs}"
        numbers[f"{prefix}.length"] = count(found.get("length"))
        rounding = found.get("sequential_rounding", {}).get("max_abs")
        numbers[f"{prefix}.rounding"] = quantity(rounding)
        for method in ("deer", "quasi_deer"):
            own = found.get("methods", {}).get(method, {})
            numbers[f"{prefix}.{method}.difference"] = quantity(own.get("max_abs"))
            numbers[f"{prefix}.{method}.steps"] = count(own.get("num_steps"))
    return numbers
