"""The results that a figure is drawn from, in the pipeline, a notebook or a script."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]


class Results(NamedTuple):
    """A result table, the records of the runs behind it, and the name of their source."""

    table: pd.DataFrame
    records: list[dict[str, Any]]
    source: str
    path: Path

    def beside(self, name: str) -> pd.DataFrame:
        """Another table of the same run: `gru_name.csv` beside `gru.csv`."""
        return pd.read_csv(self.path.with_name(f"{self.path.stem}_{name}.csv"))

    def figure_paths(self, name: str, endings: tuple[str, ...]) -> list[Path]:
        """Where figures made from these results lie."""
        return [ROOT / "figures" / "out" / self.source / f"{name}{end}" for end in endings]


def load(names: Mapping[str, Any], experiment: str) -> Results:
    """The results that the pipeline hands to a script, or else the newest ones.

    **Arguments:**

    - `names`: the script's `globals()`; Snakemake puts its object `snakemake` there.
    - `experiment`: whose results to find where there is no such object.
    """
    if "snakemake" in names:
        return read(Path(names["snakemake"].input.csv))
    return read(newest(ROOT / "results", experiment))


def read(path: Path) -> Results:
    """A table and the records beside it."""
    records = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Results(
        table=pd.read_csv(path),
        records=records if isinstance(records, list) else [records],
        source="/".join(path.parent.parts[-2:]),
        path=path,
    )


def newest(folder: Path, experiment: str) -> Path:
    """The table of the run that started last, fresh or archived."""
    found = [
        *folder.glob(f"fresh/*/{experiment}.csv"),
        *folder.glob(f"archived/*/{experiment}.csv"),
    ]
    if not found:
        raise FileNotFoundError(
            f"There are no results of {experiment} under {folder.name}/: make some with "
            "`./run snakemake --cores all`."
        )
    return max(found, key=lambda path: max(one["started_utc"] for one in read(path).records))


def rows(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows in which columns have these values."""
    for column, value in values.items():
        table = table.loc[lambda one, column=column, value=value: one[column] == value]
    return table


def provenance(records: list[dict[str, Any]]) -> str:
    """Device, versions and time of the runs in one line."""
    first = records[0]
    device, versions = first["device"], first["versions"]
    machine = device["processor"]
    if device["platform"] != "cpu":
        machine = f"{device['kind']}, {machine}"
    days = sorted({record["started_utc"][:10] for record in records})
    return (
        f"{machine} ({device['cores']} cores)  |  Python {versions['python']}, "
        f"JAX {versions['jax']}, parallel_rnn {versions['parallel_rnn']}  |  "
        f"commit {_commit(first['commit'])}, {' to '.join(days[:: max(1, len(days) - 1)])}"
    )


def _commit(commit: dict[str, Any] | None) -> str:
    if commit is None:
        return "unknown"
    return commit["id"][:9] + (" with changes" if commit["changed_files"] else "")
