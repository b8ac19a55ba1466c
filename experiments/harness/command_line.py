"""Command lines of the experiments.

An experiment has an option for every value that config/schema.yaml has for it, with the same
meaning, bounds and default: what the pipeline refuses, a command line refuses in the same words.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from experiments.harness.configuration import ConfigurationError, check, read_schema

Settings = TypeVar("Settings")
_REPOSITORY = Path(__file__).resolve().parents[2]


def experiment_parser(module: str, section: str) -> argparse.ArgumentParser:
    """Options for the values of a section of the configuration, and where to write.

    **Arguments:**

    - `module`: the name of the experiment's module.
    - `section`: keys joined by dots, such as `argru.training`. Values of sections within it are
      not among the options.
    """
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{module}")
    for name, part in _section(section)["properties"].items():
        if "properties" not in part:
            parser.add_argument(
                _option(name),
                type=_value,
                nargs="+" if isinstance(part["default"], list) else None,
                default=part["default"],
                help=f"{part['description']} [{part['unit']}]",
            )
    parser.add_argument(
        "--output", type=csv_path, required=True, help="the table; all else is put beside it"
    )
    return parser


def read_settings(
    kind: type[Settings],
    parser: argparse.ArgumentParser,
    section: str,
    arguments: Sequence[str] | None,
) -> tuple[Settings, argparse.Namespace]:
    """The settings of a run, checked, and all options.

    **Arguments:**

    - `kind`: the experiment's dataclass of settings; its fields are named as the options are.
    - `parser`, `section`: of `experiment_parser`.
    - `arguments`: the words of the command line, `None` for those of this process.
    """
    options = parser.parse_args(arguments)
    schema = _section(section)
    given = {name: value for name, value in vars(options).items() if name in schema["properties"]}
    try:
        check(given, schema)
    except ConfigurationError as error:
        parser.error(str(error))
    values = {field.name: getattr(options, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _frozen(value) for name, value in values.items()}), options


def to_words(values: Mapping[str, Any]) -> list[str]:
    """Values of a section as the words of a command line; sections within it are left out."""
    words = []
    for name, value in values.items():
        if not isinstance(value, Mapping):
            listed = value if isinstance(value, list) else [value]
            words += [_option(name), *("null" if one is None else str(one) for one in listed)]
    return words


def positive_int(text: str) -> int:
    """An integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def csv_path(text: str) -> Path:
    """A path that ends in .csv; the record takes the same name with .json."""
    path = Path(text)
    if path.suffix != ".csv":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .csv")
    return path


def _section(name: str) -> dict[str, Any]:
    """A section of the schema, with the definitions that its parts refer to."""
    schema = read_schema(_REPOSITORY)
    found = schema
    for key in name.split("."):
        found = found["properties"][key]
    return {**found, "$defs": schema["$defs"]}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _value(text: str) -> Any:
    """What a word stands for: null, a finite number, or itself."""
    if text == "null":
        return None
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
