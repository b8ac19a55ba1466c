"""What a measure returns, and the results that it is computed from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.harness.records import read_records
from experiments.reporting.tables import table_2

LABELS = {
    **table_2.LABELS,
    "jacobi": "Jacobi",
    "picard": "Picard",
    "scale_elk": "scale-ELK",
    "quasi_scale_elk": "quasi-scale-ELK",
    "windowed_quasi_deer": "quasi-DEER in windows",
    "quasi_deer_diagonal": "quasi-DEER with the approximate gradient",
    "quasi_deer_warm": "quasi-DEER with a warm start",
    "argru": "AR GRU",
    "lorenz96": "Lorenz96",
    "elman": "Elman",
    "gru": "GRU",
    "lem": "LEM",
    "lstm": "LSTM",
    "slstm": "sLSTM",
}


# What pandas computes has types that are unions of almost everything: no checker resolves them.
Table = Any
Column = Any


class NotMeasured(Exception):
    """The results lack what a measure needs; the message says what."""


class Measurement(NamedTuple):
    """Numbers by their names, a text that shows them with units, and the experiment behind them."""

    values: Mapping[str, float]
    text: str
    experiment: str


class Source:
    """The results in a folder: results/fresh/SCALE or results/archived/LABEL."""

    def __init__(self, folder: Path):
        self.folder = folder

    def table(self, name: str, **values: Any) -> Table:
        """The rows of a table in which columns have these values, of a list one of them."""
        path = self.folder / f"{name}.csv"
        if not path.exists():
            raise NotMeasured(f"no results of {name}")
        return chosen(pd.read_csv(path), **values)

    def on_gpu(self, experiment: str) -> bool:
        """Whether the experiment ran on something other than a processor."""
        return self._device(experiment)["platform"] != "cpu"

    def device(self, experiment: str) -> str:
        """What the experiment ran on, in short."""
        device = self._device(experiment)
        if self.on_gpu(experiment):
            return device["kind"]
        return f"{device['processor']}, {device['cores']} cores"

    def duration(self, experiment: str) -> float:
        """How long the experiment took, in seconds; all its jobs, one after another."""
        records = read_records(self.folder / f"{experiment}.csv")
        return sum(record["duration_s"] for record in records)

    def setting(self, experiment: str, name: str) -> Any:
        """A value of the experiment's configuration."""
        return self._record(experiment)["configuration"][name]

    def _device(self, experiment: str) -> dict[str, Any]:
        return self._record(experiment)["device"]

    def _record(self, experiment: str) -> dict[str, Any]:
        return read_records(self.folder / f"{experiment}.csv")[0]


def chosen(table: Table, **values: Any) -> Table:
    """The rows in which columns have these values, of a list one of them."""
    for column, value in values.items():
        wanted = value if isinstance(value, list) else [value]
        table = table.loc[table[column].isin(wanted)]
        if table.empty:
            raise NotMeasured(f"no results with {column} {' or '.join(map(str, wanted))}")
    return table


def measured(values: Mapping[str, float], text: str, experiment: str) -> Measurement:
    """A measurement, unless a number is missing."""
    missing = [name for name, value in values.items() if math.isnan(value)]
    if missing or not values:
        raise NotMeasured(f"no results for {', '.join(missing) or 'any of the sizes'}")
    return Measurement(values, text, experiment)


def found_after(table: Table) -> Column:
    """Iterations of each solve, infinite where it did not find the answer."""
    return table["num_steps"].astype(float).fillna(math.inf)


def label(name: str) -> str:
    """What readers call a method or a system."""
    return LABELS.get(name, name.replace("_", " "))


def count(steps: float) -> str:
    """A number of iterations, or that the answer was not found."""
    return "not found" if math.isinf(steps) else f"{steps:,.0f}"


def power(value: float) -> str:
    """A small number with two digits: 1e-6, 0.0033."""
    return f"{value:.2g}".replace("e-0", "e-")


def number(value: float) -> str:
    """Three digits."""
    if math.isinf(value):
        return "infinite"
    if 1e3 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def listed(values: Mapping[str, float], show: Any = number) -> str:
    """Names and numbers in one line."""
    return ", ".join(f"{label(name)} {show(value)}" for name, value in values.items())
