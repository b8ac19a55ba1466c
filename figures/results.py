"""How a figure script finds its results: in the pipeline, in a notebook or alone."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
# Scripts and notebooks start in this folder and find `experiments` beside it.
sys.path.insert(0, str(ROOT))

from experiments.harness.methods import LABELS as LABELS
from experiments.reporting.quantities import with_best_scan as with_best_scan
from experiments.reporting.results import Results, name_commit
from experiments.reporting.results import rows as rows


class Found(NamedTuple):
    """The results of an experiment in a source."""

    source: Results
    experiment: str

    @property
    def table(self) -> pd.DataFrame:
        """The experiment's table."""
        return self.source.table(self.experiment)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of its jobs."""
        return self.source.records(self.experiment)

    def beside(self, name: str) -> pd.DataFrame:
        """Another table of the same run: `gru_name.csv` beside `gru.csv`."""
        return self.source.table(f"{self.experiment}_{name}")

    def figure_paths(self, name: str, endings: tuple[str, ...]) -> list[Path]:
        """Where figures made from these results lie."""
        folder = ROOT / "figures" / "out" / self.source.name
        return [folder / f"{name}{end}" for end in endings]


def load(names: Mapping[str, Any], experiment: str) -> Found:
    """The results that the pipeline hands to a script, or else the newest ones.

    **Arguments:**

    - `names`: the script's `globals()`; Snakemake puts its object `snakemake` there.
    - `experiment`: whose results to find where there is no such object.
    """
    if "snakemake" in names:
        return Found(Results(Path(names["snakemake"].input.csv).parent), experiment)
    return Found(newest(ROOT / "results", experiment), experiment)


def newest(folder: Path, experiment: str) -> Results:
    """The source of the run that started last, fresh or archived."""
    found = [
        Results(path.parent)
        for place in ("fresh", "archived")
        for path in folder.glob(f"{place}/*/{experiment}.csv")
    ]
    if not found:
        raise FileNotFoundError(
            f"There are no results of {experiment} under {folder.name}/: make some with "
            "`./run snakemake --cores all`."
        )
    return max(found, key=lambda one: max(run["started_utc"] for run in one.records(experiment)))


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
        f"commit {name_commit(first['commit'])}, {' to '.join(days[:: max(1, len(days) - 1)])}"
    )
