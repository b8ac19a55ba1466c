"""Cells of a long experiment, kept as they are measured: the next run takes up a killed one.

    with kept_cells(options.output, EXPERIMENT, about) as cells:
        rows = [cells.measured(key, partial(measure, key)) for key in keys]
        write_results(options.output, pd.DataFrame(rows), record.complete(**cells.about()))

They stand in a file beside the results, a line each, which goes when the results are written.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from experiments.harness.progress import Progress
from experiments.harness.records import describe_device, describe_versions, write_atomically
from experiments.harness.sources import Sources

_REPOSITORY = Path(__file__).resolve().parents[2]


class Cells:
    """What cells gave, by their keys: those of an earlier run, and those measured since.

    **Arguments:**

    - `path`: the file, a line of JSON each: first the identity, then keys with what was found.
    - `identity`: of the run. A file of another identity is begun anew.
    """

    def __init__(self, path: Path, identity: str):
        self._path = path
        self._lock = Lock()
        self._found = _read(path, identity)
        self._taken_up = len(self._found)
        if self._found:
            print(f"{path.name}: taking up {self._taken_up} cells.", file=sys.stderr)
        # Written anew, since a killed run may have left a part of a line.
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(map(_line, [identity, *self._found.items()])))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys whose cells are still to be measured."""
        return [key for key in keys if key not in self._found]

    def measured(self, key: str, measure: Callable[[], Any]) -> Any:
        """What the cell gave in an earlier run, else what `measure` gives now.

        Either way as JSON has it: numbers, texts, null, lists, and mappings by texts. Cells may be
        measured in several threads.
        """
        if key not in self._found:
            line = _line((key, measure()))
            with self._lock, self._path.open("a", encoding="utf-8") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
                self._found[key] = json.loads(line)[1]
        return self._found[key]

    def about(self) -> dict[str, int]:
        """What the record says of it: how many cells an earlier run had measured."""
        return {"cells_of_an_earlier_run": self._taken_up}


@contextmanager
def kept_cells(output: Path, experiment: str, about: Mapping[str, Any]) -> Iterator[Cells]:
    """The cells of a run, which are forgotten when the block ends without an error.

    **Arguments:**

    - `output`: the table that the run writes within the block.
    - `experiment`: the name of its module.
    - `about`: every value that its results depend on.
    """
    path = output.with_name(f"{output.stem}_cells.jsonl")
    where = {"device": describe_device(), "versions": describe_versions()}
    yield Cells(path, identify(experiment, {**about, **where}))
    path.unlink()


def measured_one_by_one(
    cells: Cells, names: Iterable[str], measure: Callable[[str], Any], label: str
) -> pd.DataFrame:
    """A row for each name, one after another: from an earlier run, or what `measure(name)` gives.

    **Arguments:**

    - `label`: what the progress is told as.
    """
    names, rows = [*names], []
    with Progress(len(names), label) as progress:
        for name in names:
            rows.append(cells.measured(name, partial(measure, name)))
            progress.advance(name)
    return pd.DataFrame(rows)


def to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as a cell may give it."""
    return table.to_dict("records")


def join(found: Iterable[Mapping[str, list[dict[str, Any]]]]) -> dict[str, pd.DataFrame]:
    """Tables by their names, from cells that give rows of several of them."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for tables in found:
        for name, more in tables.items():
            rows.setdefault(name, []).extend(more)
    return {name: pd.DataFrame(table) for name, table in rows.items()}


def identify(experiment: str, about: Mapping[str, Any]) -> str:
    """A checksum of what a run depends on: values that it is given, and the code."""
    code = Sources(_REPOSITORY).digest(f"experiments.{experiment}", named=_texts(about))
    return hashlib.sha256(_line([dict(about), code]).encode()).hexdigest()


def _texts(value: Any) -> Iterator[str]:
    """All texts in nested values, among them the names of methods."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _read(path: Path, identity: str) -> dict[str, Any]:
    """The cells in a file of the same run, up to the first line that is not whole."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        known, *cells = map(json.loads, lines)
    except FileNotFoundError:
        return {}
    except ValueError:  # nothing whole, not even the identity
        known, cells = None, []
    if known != identity:
        print(f"{path.name} is of other settings, code or device: afresh.", file=sys.stderr)
        return {}
    return dict(cells)


def _line(content: Any) -> str:
    return json.dumps(content, default=lambda one: np.asarray(one).tolist()) + "\n"
