"""Result files: a tidy CSV and, beside it, a JSON record of how it came about.

    python -m experiments.harness.records collect --inputs a.csv b.csv --output all.csv

joins the CSVs of several jobs into one, and their records into a list.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import pandas as pd

PACKAGES = ("parallel_rnn", "jax", "jaxlib", "equinox", "numpy")
# Numbers that order a joined table, as far as it has them.
SORT_COLUMNS = ("batch", "dim", "length")
_REPOSITORY = Path(__file__).resolve().parents[2]
# In a copy of the working tree without .git, what `describe_commit` says (experiments.lent.pack).
COMMIT = "commit.json"


class RunRecord:
    """Describes a run: made when it starts, completed when it ends.

    **Arguments:**

    - `experiment`: the experiment's name.
    - `configuration`: every value that the results depend on.
    - `seeds`: the random seeds used.

    The record names the kind of machine, never the machine or its user.
    """

    def __init__(self, experiment: str, configuration: Mapping[str, Any], seeds: Iterable[int]):
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._facts = {
            "experiment": experiment,
            "configuration": dict(configuration),
            "seeds": list(seeds),
        }

    def complete(self, **results: Any) -> dict[str, Any]:
        """The whole record, with `results` added under their names."""
        return {
            **self._facts,
            **results,
            "device": describe_device(),
            "versions": describe_versions(),
            "commit": describe_commit(),
            "started_utc": self._started.isoformat(timespec="seconds"),
            "duration_s": round(time.monotonic() - self._clock, 3),
        }


def describe_device() -> dict[str, Any]:
    """The kind of device that JAX computes on, and the processor beside it."""
    device = jax.devices()[0]
    return {
        "kind": device.device_kind,
        "platform": device.platform,
        "processor": _processor_name(),
        "cores": available_cores(),
    }


def available_cores() -> int:
    """The processor's cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every platform
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def describe_commit() -> dict[str, Any] | None:
    """The commit of the working tree and whether files differ from it; None where nobody knows.

    A copy without .git, which `experiments.lent.pack` made, has it in a file.
    """
    if not (_REPOSITORY / ".git").exists():
        noted = _REPOSITORY / COMMIT
        return json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return None if commit is None else {"id": commit, "changed_files": bool(changes)}


def find_commit(name: str) -> str | None:
    """The whole id of a commit of this repository; None where it has no such commit."""
    return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def write_results(path: Path, table: pd.DataFrame, record: Any) -> None:
    """Writes the record and the table so that nobody ever sees half of either.

    The record comes first: where the table is, its record is too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    write_atomically(path, table.to_csv(index=False, lineterminator="\n"))


def write_beside(path: Path, name: str, table: pd.DataFrame, digits: int = 7) -> None:
    """A further table of a run, its numbers rounded: `argru_mad.csv` beside `argru.csv`.

    Written before the results are, so that where those are, it is too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = table.to_csv(index=False, lineterminator="\n", float_format=f"%.{digits}g")
    write_atomically(_beside(path, name), text)


def write_atomically(path: Path, text: str) -> None:
    """Writes under another name in the same folder, then renames.

    The other name is always the same, so what a killed run left is overwritten.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def collect(inputs: Sequence[Path], output: Path, beside: Sequence[str] = ()) -> None:
    """Joins result tables into `output`, and their records into a list beside it.

    **Arguments:**

    - `beside`: names of further tables that every input has; they are joined as well.
    """
    joined = _join(inputs)
    records = [record for path in inputs for record in read_records(path)]
    for name in beside:
        write_beside(output, name, _join([_beside(path, name) for path in inputs]))
    write_results(output, joined, records)


def present(inputs: Sequence[Path]) -> list[Path]:
    """Those of the inputs that exist, or all if none does. Tells which are left out."""
    there = [path for path in inputs if path.is_file()]
    for path in inputs if there else []:
        if path not in there:
            print(f"{path} does not exist and is left out.", file=sys.stderr)
    return there or [*inputs]


def _join(inputs: Sequence[Path]) -> pd.DataFrame:
    tables = [_read_table(path) for path in inputs]
    for path, table in zip(inputs, tables, strict=True):
        if list(table.columns) != list(tables[0].columns):
            raise ValueError(
                f"{path.name} has the columns {', '.join(table.columns)}, which differ from those "
                f"of {inputs[0].name}: results of one experiment only can be joined."
            )
    joined = pd.concat(tables, ignore_index=True)
    order = [name for name in SORT_COLUMNS if name in joined.columns]
    if order:
        joined = joined.sort_values(order, key=lambda column: column.astype(int), kind="stable")
    return joined


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}_{name}.csv")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a result table: one, or a list where tables were joined."""
    beside = path.with_suffix(".json")
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{path.name} has no record {beside.name} beside it: run its experiment again."
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{beside.name} is not JSON ({error}): run its experiment again."
        ) from None
    return content if isinstance(content, list) else [content]


def _read_table(path: Path) -> pd.DataFrame:
    try:
        # Text in, text out: joining must not change how a number is written.
        return pd.read_csv(path, dtype="string", keep_default_na=False)
    except FileNotFoundError:
        raise ValueError(f"{path.name} does not exist: run its experiment first.") from None
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty: run its experiment again.") from None


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(_REPOSITORY), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.harness.records", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    collecting = commands.add_parser("collect", help="join result tables and their records")
    collecting.add_argument("--inputs", type=Path, nargs="+", required=True)
    collecting.add_argument("--output", type=Path, required=True)
    collecting.add_argument("--beside", nargs="*", default=[], help="further tables to join")
    collecting.add_argument(
        "--present", action="store_true", help="join those of the inputs that exist"
    )
    options = parser.parse_args(arguments)
    inputs = present(options.inputs) if options.present else options.inputs
    try:
        collect(inputs, options.output, options.beside)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
