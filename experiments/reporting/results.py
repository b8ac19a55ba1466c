"""The results of a source: the one place where tables and records are read for readers."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# What an archive says of itself, beside its results.
PROVENANCE = "provenance.json"
# What pandas computes has types that are unions of almost everything: no checker resolves them.
Table = Any
Column = Any


class NotMeasured(Exception):
    """The results lack what is asked for; the message says what."""


class Results:
    """Tables and records in a folder: results/fresh/SCALE or results/archived/LABEL.

    A source may have the results of some experiments only.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def name(self) -> str:
        """The last two folders: `archived/LABEL`, `fresh/SCALE`."""
        return "/".join(self.folder.parts[-2:])

    def has(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return (self.folder / f"{name}.csv").is_file()

    def table(self, name: str) -> pd.DataFrame:
        """A result table; one without rows and columns where there is none."""
        try:
            return pd.read_csv(self.folder / f"{name}.csv")
        except (FileNotFoundError, pd.errors.EmptyDataError):
            return pd.DataFrame()

    def needed(self, name: str, **values: Any) -> Table:
        """The rows of a table in which columns have these values, of a list one of them.

        **Raises:** `NotMeasured` where there is no such row.
        """
        if not self.has(name):
            raise NotMeasured(f"no results of {name}")
        return chosen(pd.read_csv(self.folder / f"{name}.csv"), **values)

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a table, one for each job; none where there is none."""
        try:
            content = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        records = content if isinstance(content, list) else [content]
        return [{**one, "commit": one.get("commit") or self._added_commit} for one in records]

    def settings(self, name: str, key: str) -> list[Any]:
        """The values that a setting has in the records of a table, each once, in their order."""
        values = [record["configuration"].get(key) for record in self.records(name)]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return [value for value in dict.fromkeys(flat) if value is not None]

    def setting(self, name: str, key: str) -> Any:
        """A setting of the experiment's first job."""
        return self._record(name)["configuration"][key]

    def on_gpu(self, name: str) -> bool:
        """Whether the experiment ran on something other than a processor."""
        return self._record(name)["device"]["platform"] != "cpu"

    def device(self, name: str) -> str:
        """What the experiment ran on, in short."""
        return device_in_short(self._record(name)["device"])

    @property
    def devices(self) -> str:
        """What its experiments ran on, in short; "no device" where there are no results.

        A compiler does not count that works for another device.
        """
        here = [record for record in self.runs if not record.get("target")]
        names = dict.fromkeys(device_in_short(record["device"]) for record in here or self.runs)
        return ", ".join(names) or "no device"

    def duration(self, name: str) -> float:
        """How long the experiment took, in seconds; all its jobs, one after another."""
        return sum(record["duration_s"] for record in self.records(name))

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """The records of all tables, in the order in which they started."""
        stems = sorted(path.stem for path in self.folder.glob("*.csv"))
        records = [record for stem in stems for record in self.records(stem)]
        return sorted(records, key=lambda record: record["started_utc"])

    @cached_property
    def _added_commit(self) -> dict[str, Any] | None:
        """The commit that an archive's provenance says where records could not."""
        try:
            provenance = json.loads((self.folder / PROVENANCE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        commits = provenance.get("measured_at_commits", [])
        return next((one for one in commits if one and one.get("added_by_hand")), None)

    def _record(self, name: str) -> dict[str, Any]:
        records = self.records(name)
        if not records:
            raise NotMeasured(f"no record of {name}")
        return records[0]


def device_in_short(device: dict[str, Any]) -> str:
    """What readers call a device that a record describes."""
    if device["platform"] != "cpu":
        return device["kind"]
    return f"{device['processor']}, {device['cores']} cores"


def chosen(table: Table, **values: Any) -> Table:
    """The rows in which columns have these values, of a list one of them.

    **Raises:** `NotMeasured` where there is none.
    """
    for column, value in values.items():
        wanted = value if isinstance(value, list) else [value]
        table = table.loc[table[column].isin(wanted)]
        if table.empty:
            raise NotMeasured(f"no results with {column} {' or '.join(map(str, wanted))}")
    return table


def rows(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows in which columns have these values; none where a column is missing."""
    for column, value in values.items():
        if column not in table:
            return table.iloc[:0]
        table = table.loc[table[column] == value]
    return table


def pick(table: pd.DataFrame, column: str, **values: Any) -> np.ndarray:
    """A column of the rows that have these values; empty where there is no such row or column."""
    found = rows(table, **values)
    return found[column].to_numpy(float) if column in found else np.empty(0)


def median(values: np.ndarray) -> float:
    """The median; NaN where there are no values."""
    return float(np.median(values)) if len(values) else np.nan


def smallest(values: np.ndarray) -> float:
    """The smallest of the values that are not NaN; NaN where there are none."""
    return float(np.nanmin(values)) if np.any(~np.isnan(values)) else np.nan


def largest(values: np.ndarray) -> float:
    """The largest of the values that are not NaN; NaN where there are none."""
    return float(np.nanmax(values)) if np.any(~np.isnan(values)) else np.nan


def ratio(one: float, other: float) -> float:
    """The first number over the second; NaN where that is 0 or either is NaN."""
    return one / other if other and not np.isnan(other) else np.nan


def name_commit(commit: dict[str, Any] | None) -> str:
    """The commit of a record in short; whether files differed from it, or who says so."""
    if commit is None:
        return "unknown"
    if commit.get("added_by_hand"):
        return f"{commit['id'][:9]} (added by hand)"
    return commit["id"][:9] + (" with changes" if commit["changed_files"] else "")
