"""Exponents of time and memory in T and D, fitted to gru_scaling's results.

Beside them stands the paper's Table 1, which counts the operations and the numbers
of the linear solve of one iteration; hence time is taken per Newton iteration.

    python -m experiments.reporting.tables.scaling_exponents --results results/fresh/cpu \\
        --output figures/out/fresh/cpu/scaling_exponents.csv

The CSV holds every fit. The Markdown and LaTeX tables beside it hold, for each
method and batch size, the fit in T at the largest D and the fit in D at the largest T.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.harness.methods import SEQUENTIAL, UNDAMPED, selected
from experiments.harness.outcome import COMPLETED, NOT_CONVERGED, OUT_OF_MEMORY
from experiments.reporting.labels import label
from experiments.reporting.results import NotMeasured, Results
from experiments.reporting.tables.layout import MISSING, Made, run

TIME = "time per iteration"
MEMORY = "temporary memory"
# Table 1 of the paper: (exponent in T, exponent in D) of work and of memory.
PAPER = {
    ("sequential", TIME): (1, 2),
    ("sequential", MEMORY): (0, 1),
    ("deer", TIME): (1, 3),
    ("deer", MEMORY): (1, 2),
    ("quasi_deer", TIME): (1, 1),
    ("quasi_deer", MEMORY): (1, 1),
}
# Other forms of the sequential loop have its exponents; chunks have a length that T decides.
SHOWN = selected([SEQUENTIAL, UNDAMPED])
# Stands in the column of the paper for a method that the paper does not have.
NOT_REPORTED = (None, None)
RAN = (COMPLETED, NOT_CONVERGED)
COMPILED = (*RAN, OUT_OF_MEMORY)
# Exponents are about large sizes: a fit uses sizes of at least a tenth of the
# largest, and the three largest where that leaves fewer.
SIZE_RANGE = 10
FEWEST_SIZES = 3
NOTE = (
    "Exponents of the least-squares line through log(quantity) against log(T) at the largest D, "
    "and against log(D) at the largest T that every D completed; plus or minus one standard "
    "error. Time is the time of a rollout divided by its Newton iterations (sequential: one "
    "pass). The paper's column counts operations and numbers of one iteration's linear solve, "
    "not time: a device that works on many steps or units at once takes less time than "
    "operations say, and the time here includes evaluating the GRU and its Jacobian. "
    "Memory is what the compiled program needs beside its arguments and its result."
)
FITS_COLUMNS = [
    "batch",
    "method",
    "quantity",
    "variable",
    "fixed",
    "exponent",
    "standard_error",
    "smallest",
    "largest",
    "sizes",
    "paper",
]


class PowerLaw(NamedTuple):
    """The fit `c * size**exponent`; the error is NaN where the data leave none."""

    exponent: float
    standard_error: float


def fit_power_law(sizes: np.ndarray, values: np.ndarray) -> PowerLaw:
    """Least squares in log-log.

    **Arguments:**

    - `sizes`, `values`: positive, of the same length, with at least two different sizes.
    """
    x, y = np.log(sizes), np.log(values)
    x = x - x.mean()
    spread = float(x @ x)
    exponent = float(x @ y) / spread
    residuals = y - y.mean() - exponent * x
    freedom = len(x) - 2
    variance = float(residuals @ residuals) / freedom if freedom > 0 else np.nan
    return PowerLaw(exponent, float(np.sqrt(variance / spread)))


def quantities(results: pd.DataFrame) -> pd.DataFrame:
    """One positive value for each batch, method, quantity, dim, length and seed.

    Memory needs no run, so cells that are out of memory count for it.
    """
    ran = results.query("status in @RAN")
    times = ran.assign(
        quantity=TIME, value=ran["time_s"] / ran["num_steps"].fillna(1).clip(lower=1)
    )
    compiled = results.query("status in @COMPILED")
    memory = compiled.assign(quantity=MEMORY, value=compiled["temp_memory_bytes"], seed=0)
    both = pd.concat([times, memory], ignore_index=True).query("value > 0")
    keys = ["batch", "method", "quantity", "dim", "length", "seed"]
    return both.groupby(keys, sort=False)["value"].median().reset_index()


def fit_all(results: pd.DataFrame) -> pd.DataFrame:
    """Every fit in T and in D that the results allow, one row each."""
    values = quantities(results)
    rows = []
    for (batch, method, quantity), group in _by_quantity(values):
        shared = {"batch": batch, "method": method, "quantity": quantity}
        paper = PAPER.get((method, quantity), NOT_REPORTED)
        for dim, curve in group.groupby("dim"):
            rows += _fit_rows(curve, "length", {**shared, "fixed": dim, "paper": paper[0]})
        length = _largest_common_length(group)
        if length is not None:
            curve = group.query("length == @length")
            rows += _fit_rows(curve, "dim", {**shared, "fixed": length, "paper": paper[1]})
    return pd.DataFrame(rows, columns=FITS_COLUMNS)


def summarise(fits: pd.DataFrame) -> pd.DataFrame:
    """The table for readers: one row for each batch, method and quantity."""
    rows = []
    for (batch, method, quantity), group in _by_quantity(fits):
        in_length = group.query("variable == 'length'").query("fixed == fixed.max()")
        in_dim = group.query("variable == 'dim'")
        paper = PAPER.get((method, quantity), NOT_REPORTED)
        rows.append(
            {
                "batch": batch,
                "method": label(method),
                "quantity": quantity,
                "exponent in T": _cell(in_length),
                "at D": _first(in_length, "fixed"),
                "exponent in D": _cell(in_dim),
                "at T": _first(in_dim, "fixed"),
                "paper": _product(*paper),
            }
        )
    return pd.DataFrame(rows)


def _by_quantity(table: pd.DataFrame) -> Iterator[tuple[tuple[int, str, str], pd.DataFrame]]:
    keys = table[["batch", "method", "quantity"]].drop_duplicates()
    for key in keys.itertuples(index=False, name=None):
        batch, method, quantity = key
        yield (
            (batch, method, quantity),
            table.query("batch == @batch and method == @method and quantity == @quantity"),
        )


def _fit_rows(curve: pd.DataFrame, variable: str, shared: dict[str, Any]) -> Iterator[dict]:
    sizes, values = curve[variable].to_numpy(float), curve["value"].to_numpy(float)
    used = _large(np.unique(sizes))
    if len(used) < 2:
        return
    points = np.isin(sizes, used)
    law = fit_power_law(sizes[points], values[points])
    yield {
        **shared,
        "variable": variable,
        **law._asdict(),
        "smallest": int(used[0]),
        "largest": int(used[-1]),
        "sizes": len(used),
    }


def _large(sizes: np.ndarray) -> np.ndarray:
    """The large ones of rising sizes, which a fit uses."""
    wide_enough = int(np.sum(sizes >= sizes[-1] / SIZE_RANGE))
    return sizes[-max(wide_enough, FEWEST_SIZES) :]


def _largest_common_length(group: pd.DataFrame) -> int | None:
    lengths = [set(curve["length"]) for _, curve in group.groupby("dim")]
    return max(set.intersection(*lengths), default=None)


def _cell(fit: pd.DataFrame) -> str:
    if fit.empty:
        return MISSING
    exponent, error = (float(fit[name].iloc[0]) for name in ("exponent", "standard_error"))
    exponent = round(exponent, 2) + 0.0  # no minus zero
    return f"{exponent:.2f}" if np.isnan(error) else f"{exponent:.2f} ± {error:.2f}"


def _first(fit: pd.DataFrame, column: str) -> str:
    return MISSING if fit.empty else f"{fit[column].iloc[0]:,}"


def _product(in_length: int | None, in_dim: int | None) -> str:
    if in_length is None:
        return MISSING
    factors = [(name, power) for name, power in (("T", in_length), ("D", in_dim)) if power]
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in factors)


def make(results: Results, _: str) -> Made:
    """The fits to gru_scaling's results."""
    fits = fit_all(results.needed("gru_scaling", method=SHOWN))
    if fits.empty:
        raise NotMeasured(
            "gru_scaling has no method with two lengths or two state sizes, so no exponent can be "
            "fitted"
        )
    return Made(fits, summarise(fits), NOTE)


def main(arguments: Sequence[str] | None = None) -> None:
    run("scaling_exponents", make, arguments)


if __name__ == "__main__":
    main()
