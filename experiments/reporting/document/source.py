"""The results of a source as the report reads them: what is missing is empty, not an error."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


class Source:
    """Tables and records in a folder of results.

    **Arguments:**

    - `folder`: such as `results/archived/LABEL`.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def name(self) -> str:
        """The last two folders: `archived/LABEL`, `fresh/SCALE`."""
        return "/".join(self.folder.parts[-2:])

    def table(self, name: str) -> pd.DataFrame:
        """A result table; one without rows and columns where there is none."""
        try:
            return pd.read_csv(self.folder / f"{name}.csv")
        except (FileNotFoundError, pd.errors.EmptyDataError):
            return pd.DataFrame()

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a table; none where there is none."""
        try:
            content = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return content if isinstance(content, list) else [content]

    def settings(self, name: str, key: str) -> list[Any]:
        """The values that a setting has in the records of a table, each once, in their order."""
        values = [record["configuration"].get(key) for record in self.records(name)]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return [value for value in dict.fromkeys(flat) if value is not None]

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """The records of all tables, in the order in which they started."""
        stems = sorted(path.stem for path in self.folder.glob("*.csv"))
        records = [record for stem in stems for record in self.records(stem)]
        return sorted(records, key=lambda record: record["started_utc"])


def rows(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows in which columns have these values; none where a column is missing."""
    for column, value in values.items():
        if column not in table:
            return table.iloc[:0]
        table = table.loc[table[column] == value]
    return table


def pick(table: pd.DataFrame, column: str, **values: Any) -> np.ndarray:
    """The numbers of a column in some rows; none where the table or the column is missing."""
    found = rows(table, **values)
    return found[column].to_numpy(float) if column in found else np.empty(0)


def median(values: np.ndarray) -> float:
    """The median; NaN of nothing."""
    return float(np.median(values)) if len(values) else np.nan


def smallest(values: np.ndarray) -> float:
    """The smallest of the numbers that are there; NaN of nothing."""
    return float(np.nanmin(values)) if np.any(~np.isnan(values)) else np.nan


def largest(values: np.ndarray) -> float:
    """The largest of the numbers that are there; NaN of nothing."""
    return float(np.nanmax(values)) if np.any(~np.isnan(values)) else np.nan


def ratio(one: float, other: float) -> float:
    """A quotient; NaN where it has no meaning."""
    return one / other if other and not np.isnan(other) else np.nan
