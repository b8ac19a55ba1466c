"""Checkpoints: one file that holds the state of a long run, replaced in one step."""

import json
import os
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx

State = TypeVar("State")


def save(path: Path, about: dict[str, Any], state: Any) -> None:
    """Writes under another name, then renames: a killed run leaves the last whole checkpoint.

    **Arguments:**

    - `about`: what `read_about` tells; JSON.
    - `state`: a PyTree of arrays and numbers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(json.dumps(about).encode() + b"\n")
        eqx.tree_serialise_leaves(stream, state)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def read_about(path: Path) -> dict[str, Any] | None:
    """What the checkpoint says of itself; `None` where there is none."""
    try:
        with path.open("rb") as stream:
            return json.loads(stream.readline())
    except FileNotFoundError:
        return None


def load(path: Path, like: State) -> State:
    """The state, in the structure, shapes and dtypes of `like`."""
    with path.open("rb") as stream:
        stream.readline()
        return eqx.tree_deserialise_leaves(stream, like)
