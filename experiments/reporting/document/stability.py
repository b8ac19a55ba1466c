"""Numbers of the report about stability: AR GRU (Figures 4, 7, Table 2) and Lorenz96 (Figure 8)."""

import math

import numpy as np
import pandas as pd

from experiments.harness.outcome import PAPER_THRESHOLD
from experiments.reporting.format import NOT_MEASURED, count, extent, quantity, seconds, share, span
from experiments.reporting.labels import label
from experiments.reporting.quantities import farthest_iterates, iterations, iterations_by_damping
from experiments.reporting.results import (
    Results,
    largest,
    median,
    pick,
    rows,
)
from experiments.reporting.tables import table_2

PARALLEL = ("deer", "quasi_deer", "elk", "quasi_elk")
DAMPED = ("elk", "quasi_elk")
MODELS = ("untrained", "trained")


def argru(source: Results) -> dict[str, str]:
    """Iterations on both models, and Table 2 with what the paper prints."""
    solves, times = source.table("argru"), source.table("argru_times")
    numbers = {
        f"argru.{name}": span(source.settings("argru", name), count)
        for name in ("length", "seeds", "timed_steps")
    }
    numbers["argru.threshold"] = quantity(PAPER_THRESHOLD)
    numbers |= {
        f"argru.{method}.damping": span(source.settings("argru", f"{method}_damping"))
        for method in DAMPED
    }
    for model in MODELS:
        for method in PARALLEL:
            steps = _steps(rows(solves, model=model, method=method))
            numbers[f"argru.{model}.{method}.steps"] = count(median(steps))
    return numbers | _growth(source.table("argru_mad")) | _table_2(solves, times)


def _steps(table: pd.DataFrame) -> np.ndarray:
    """The iterations of each solve; empty where there are no results."""
    return iterations(table).to_numpy(float) if "num_steps" in table else np.empty(0)


def _growth(mad: pd.DataFrame) -> dict[str, str]:
    """The largest MAD of an iterate on the trained model, median over the draws of noise."""
    peaks = {} if mad.empty else farthest_iterates(rows(mad, model="trained"))
    return {
        f"argru.{method}.largest_mad": extent(peaks.get(method, math.nan)) for method in PARALLEL
    }


def _table_2(solves: pd.DataFrame, times: pd.DataFrame) -> dict[str, str]:
    complete = not (solves.empty or times.empty)
    table = table_2.tabulate(solves, times) if complete else pd.DataFrame()
    numbers = {}
    for method, reported in table_2.PAPER.items():
        own = rows(table, method=method)
        numbers[f"table_2.{method}.time"] = seconds(median(pick(own, "time_s")))
        numbers[f"table_2.{method}.paper_time"] = seconds(reported.time_s)
        if reported.num_steps is not None:
            each = median(pick(own, "time_per_iteration_s"))
            numbers[f"table_2.{method}.each"] = seconds(each)
            numbers[f"table_2.{method}.paper_steps"] = count(reported.num_steps)
    return numbers


def argru_sweep(source: Results) -> dict[str, str]:
    """The best damping of each damped method, and how many dampings arrive."""
    numbers = {"argru_sweep.seeds": span(source.settings("argru_sweep", "seeds"), count)}
    numbers["argru_sweep.dampings"] = span(source.settings("argru_sweep", "dampings"))
    for method in DAMPED:
        own = rows(source.table("argru_sweep"), method=method)
        limit = source.settings("argru_sweep", f"{method}_max_steps")
        numbers |= _sweep(own, f"argru_sweep.{method}")
        numbers[f"argru_sweep.{method}.limit"] = span(limit, count)
    return numbers


def _sweep(table: pd.DataFrame, prefix: str) -> dict[str, str]:
    """The best damping of a sweep, its iterations, and how many dampings find every answer."""
    medians = {} if table.empty else iterations_by_damping(table).to_dict()
    grouped = {damping: _steps(rows(table, damping=damping)) for damping in medians}
    best = min(medians, key=lambda damping: medians[damping], default=math.nan)
    found = math.isfinite(medians.get(best, math.nan))
    arrived = sum(bool(np.all(np.isfinite(own))) for own in grouped.values())
    return {
        f"{prefix}.best": quantity(best if found else math.nan),
        f"{prefix}.best_steps": count(medians[best] if found else math.nan),
        f"{prefix}.arrived": share(arrived, len(grouped)),
    }


def lorenz96(source: Results) -> dict[str, str]:
    """Iterations and times at the paper's damping, the best damping, and how many starts arrive."""
    table, mad = source.table("lorenz96"), source.table("lorenz96_convergence")
    numbers = {
        f"lorenz96.{name}": span(source.settings("lorenz96", name), count)
        for name in ("length", "dim", "forcing", "starts", "max_steps")
    }
    for method in PARALLEL:
        damping = _paper_damping(source, method)
        own = rows(table, method=method, damping=damping)
        iterates = rows(mad, method=method, damping=damping)
        steps = _steps(own)
        numbers |= {
            f"lorenz96.{method}.steps": span(steps, count),
            f"lorenz96.{method}.time": seconds(median(pick(own, "time_s"))),
            f"lorenz96.{method}.arrived": share(int(np.isfinite(steps).sum()), len(steps)),
            f"lorenz96.{method}.largest_mad": extent(largest(pick(iterates, "mad"))),
        }
    for method in DAMPED:
        numbers[f"lorenz96.{method}.damping"] = quantity(_paper_damping(source, method))
        numbers |= _sweep(rows(table, method=method), f"lorenz96.sweep.{method}")
    sequential = median(pick(table, "time_s", method="sequential"))
    return numbers | {"lorenz96.sequential.time": seconds(sequential)}


def _paper_damping(source: Results, method: str) -> float:
    """The damping of the lower panels of Figure 8; 0 for a method that has no damping."""
    found = source.settings("lorenz96", f"{method}_damping")
    return 0.0 if method not in DAMPED else next(iter(found), math.nan)


def damping(source: Results) -> dict[str, str]:
    """The best damping and the best k on whole sequences; filter beside smoother."""
    table = rows(source.table("damping"), evaluation="whole")
    numbers = {"damping.limit": span(source.settings("damping", "max_steps"), count)}
    for system in ("argru", "lorenz96", "classifier"):
        own, prefix = rows(table, system=system), f"damping.{system}"
        numbers[f"{prefix}.length"] = span(source.settings("damping", f"{system}_length"), count)
        undamped = rows(own, method="scale_elk", value=0.0, status="reached")
        numbers[f"{prefix}.deer.steps"] = count(median(pick(undamped, "iterations")))
        for method in ("elk", "scale_elk"):
            numbers |= _best_value(own, method, f"{prefix}.{method}")
        for estimate in ("filter", "smoother"):
            swept = rows(own, estimate=estimate, rule="fixed")
            reached = len(rows(swept, status="reached"))
            numbers[f"{prefix}.{estimate}"] = share(reached, len(swept))
        adaptive = rows(own, rule="adaptive")
        numbers[f"{prefix}.adaptive"] = share(len(rows(adaptive, status="reached")), len(adaptive))
    return numbers


def _best_value(table: pd.DataFrame, method: str, prefix: str) -> dict[str, str]:
    """The λ of the filter, or the k, with the fewest iterations."""
    found = rows(table, method=method, status="reached")
    if len(found):
        wanted = (found["estimate"] != "smoother") & (found["rule"] != "adaptive")
        found = found.loc[wanted & (found["value"] > 0)].sort_values("iterations").head(1)
    return {
        f"{prefix}.best": quantity(median(pick(found, "value"))),
        f"{prefix}.best_steps": count(median(pick(found, "iterations"))),
    }


def windows(source: Results) -> dict[str, str]:
    """Work and time of whole sequences and of windows."""
    table = rows(source.table("windows"), status="reached")
    if len(table):
        table = table.assign(work=table["work_evaluations"] / table["length"])
    numbers = {}
    for system in ("argru", "lorenz96"):
        own, prefix = rows(table, system=system), f"windows.{system}"
        whole = rows(own, evaluation="whole")
        numbers[f"{prefix}.length"] = span(source.settings("windows", f"{system}_length"), count)
        for method in PARALLEL:
            work = median(pick(whole, "work", method=method))
            numbers[f"{prefix}.{method}.whole_work"] = quantity(work)
        numbers |= _best_window(own, "work", quantity, f"{prefix}.least_work")
        numbers |= _best_window(own, "time_s", seconds, f"{prefix}.least_time")
        sequential = median(pick(own, "time_s", method="sequential"))
        numbers[f"{prefix}.sequential.time"] = seconds(sequential)
    return numbers


def _best_window(table: pd.DataFrame, column: str, write, prefix: str) -> dict[str, str]:
    """The method and the window in which a column is least, and that least value."""
    windowed = rows(table, evaluation="windows")
    best = windowed.sort_values(column).head(1) if column in windowed else windowed
    name = str(best["method"].iloc[0]) if len(best) else NOT_MEASURED
    return {
        f"{prefix}.method": label(name),
        f"{prefix}.window": count(median(pick(best, "window"))),
        prefix: write(median(pick(best, column))),
    }
