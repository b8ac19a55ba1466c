"""Runs the examples at full size and keeps what each of their cells printed and drew.

    python -m experiments.reporting.site.record                  # all of them
    python -m experiments.reporting.site.record kalman resets    # these two

The output of a script goes to `docs/examples`, from where its page shows it. Times are among it, so
the machine should have nothing else to do.
"""

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.harness.records import (
    describe_commit,
    describe_device,
    describe_versions,
    write_atomically,
)
from experiments.reporting.format import duration
from experiments.reporting.site import examples, outputs

# Figures are six inches wide, about as wide as the text of a page is on a screen.
DOTS_PER_INCH = 150
_REPOSITORY = Path(__file__).resolve().parents[3]


class Run(NamedTuple):
    """The record of a script that ran, and its pictures by the names of their files."""

    record: dict[str, Any]
    pictures: dict[str, bytes]


def keep(script: Path, commit: Mapping[str, Any] | None) -> Run:
    """Runs a script in a process of its own and replaces what is kept of it.

    **Arguments:**

    - `commit`: what the working tree was before any record in it was replaced.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
        done = fresh.submit(run, script, commit).result()
    record = outputs.place(script)
    record.parent.mkdir(parents=True, exist_ok=True)
    for old in record.parent.glob(f"{script.stem}-*.png"):
        old.unlink()
    for name, picture in done.pictures.items():
        (record.parent / name).write_bytes(picture)
    write_atomically(record, json.dumps(done.record, indent=1, ensure_ascii=False) + "\n")
    return done


def run(script: Path, commit: Mapping[str, Any] | None) -> Run:
    """Runs the cells of a script, as a notebook does. The process must not have started JAX."""
    os.environ.pop("EXAMPLE_SIZE", None)
    sys.path.insert(0, str(script.parent))
    plt.switch_backend("agg")
    # How long it takes to compile is among what scripts print.
    jax.config.update("jax_enable_compilation_cache", False)
    started, clock = datetime.now(UTC), time.monotonic()
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, pictures = [], {}
    for number, source in enumerate(outputs.code_cells(script), start=1):
        printed = _printed(compile(source, f"{script.name}, code cell {number}", "exec"), names)
        cells.append({"printed": printed.splitlines(), "pictures": []})
        for figure in map(plt.figure, plt.get_fignums()):
            file = f"{script.stem}-{len(pictures) + 1}.png"
            pictures[file] = _png(figure)
            cells[-1]["pictures"].append({"file": file, "shows": _about(figure)})
        plt.close("all")
    record = {
        "digest": outputs.digest(script),
        "device": describe_device(),
        "versions": describe_versions(),
        "commit": commit,
        "started_utc": started.isoformat(timespec="seconds"),
        "duration_s": round(time.monotonic() - clock, 3),
        "cells": cells,
    }
    return Run(record, pictures)


def _printed(code: Any, names: dict[str, Any]) -> str:
    stream = io.StringIO()
    try:
        with redirect_stdout(stream):
            exec(code, names)
    except SystemExit:
        raise outputs.RecordError(
            f"{code.co_filename}, ends the script, so there is nothing to record of the cells "
            f"behind it; it says: {stream.getvalue().strip()}"
        ) from None
    return stream.getvalue()


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH)
    return stream.getvalue()


def _about(figure: Figure) -> str:
    """What a figure shows, for those who do not see it, in the words on its axes."""
    axes = [(axis.get_ylabel(), axis.get_xlabel()) for axis in figure.axes]
    said = [" against ".join(filter(None, labels)) for labels in axes]
    return "; ".join(filter(None, said)).replace("\n", " ")


def chosen(root: Path, names: Sequence[str]) -> list[Path]:
    """The scripts of these names, or all."""
    scripts = {script.stem: script for script in examples.scripts(root)}
    unknown = [name for name in names if name not in scripts]
    if unknown:
        raise outputs.RecordError(
            f"There is no example '{unknown[0]}': there are {', '.join(scripts)}."
        )
    return [scripts[name] for name in names or scripts]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.site.record")
    parser.add_argument("names", nargs="*", help="scripts in examples, without .py; all if none")
    options = parser.parse_args(arguments)
    try:
        commit = describe_commit()
        for script in chosen(_REPOSITORY, options.names):
            done = keep(script, commit)
            print(f"{script.stem}: {duration(done.record['duration_s'])}", flush=True)
    except outputs.RecordError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
