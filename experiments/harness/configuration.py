"""The pipeline's configuration: read, completed and checked against config/schema.yaml.

A value comes from the first of these that has it: the command line, config/config.yaml,
the scale's file, the schema's default. Every fault is one sentence that names the key.
"""

import copy
import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from experiments.harness.methods import selected

Settings = dict[str, Any]
# Both load the same; that in C, which not every installation has, takes a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "null": "null",
    "boolean": "true or false",
}


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message is one sentence for the user."""


def complete(root: Path, given: Mapping[str, Any]) -> Settings:
    """The whole configuration, checked.

    **Arguments:**

    - `root`: the repository.
    - `given`: what config.yaml and the command line say, merged.
    """
    schema = read_schema(root)
    check({**defaults(schema), **given}, schema)
    scale = given.get("scale", schema["properties"]["scale"]["default"])
    settings = merge(defaults(schema), read_scale(root, scale), given)
    check(settings, schema)
    _check_source(root, settings["source"])
    _check_beside(root, settings["beside"] or [])
    return settings


def results_folder(settings: Settings) -> str:
    """The folder below results/ that figures read: fresh/SCALE or archived/LABEL."""
    return f"fresh/{settings['scale']}" if settings["source"] == "fresh" else settings["source"]


def results_beside(root: Path, settings: Settings) -> list[str]:
    """The folders below results/ whose claims stand beside those of the source."""
    if settings["beside"] is None:
        return _archived(root)
    return settings["beside"]


def read_schema(root: Path) -> Settings:
    """The schema, its `registered` methods written out as enumerations."""
    return _with_methods(_read_yaml(root / "config" / "schema.yaml"))


def _with_methods(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_methods(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    if "registered" in part:
        return {"enum": selected(part["registered"])}
    return {key: _with_methods(value) for key, value in part.items()}


def scales(root: Path) -> list[str]:
    """Names of the scales that have a file."""
    return sorted(path.stem.removeprefix("scale_") for path in root.glob("config/scale_*.yaml"))


def archives(root: Path) -> list[str]:
    """Labels of the archived results."""
    return sorted(path.parent.name for path in root.glob("results/archived/*/provenance.json"))


def read_scale(root: Path, scale: str) -> Settings:
    if scale not in scales(root):
        raise ConfigurationError(
            f"Configuration: there is no scale '{scale}' (no file config/scale_{scale}.yaml): "
            f"use one of {', '.join(scales(root))}."
        )
    return _read_yaml(root / "config" / f"scale_{scale}.yaml")


def defaults(schema: Mapping[str, Any]) -> Settings:
    """The schema's default of every key, nested as the keys are."""
    return {
        key: defaults(part) if "properties" in part else copy.deepcopy(part["default"])
        for key, part in schema["properties"].items()
    }


def merge(*layers: Mapping[str, Any]) -> Settings:
    """Joins mappings key by key, later layers first in rank; lists are replaced whole."""
    joined: Settings = {}
    for layer in layers:
        for key, value in layer.items():
            below = joined.get(key)
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                joined[key] = merge(below, value)
            else:
                joined[key] = copy.deepcopy(value)
    return joined


def check(settings: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Refuses settings that the schema does not allow, naming the key in one sentence."""
    wrong = fault(settings, schema)
    if wrong is not None:
        raise ConfigurationError(f"Configuration: {wrong}.")


def fault(content: Any, schema: Mapping[str, Any]) -> str | None:
    """What a schema does not allow in a document: the first fault in words, without a full stop."""
    validator = jsonschema.Draft202012Validator(schema)
    error = next(iter(sorted(validator.iter_errors(content), key=_position)), None)
    return None if error is None else _explain(error)


def _position(error: jsonschema.ValidationError) -> tuple[str, str]:
    return (error.json_path, str(error.validator))


def _explain(error: jsonschema.ValidationError) -> str:
    key = error.json_path.removeprefix("$").removeprefix(".")
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            return _explain_unknown(key, value, schema["properties"])
        case "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            named = " or ".join(_TYPE_NAMES[name] for name in types)
            return f"{key} is {value!r} but must be {named}{_hint(value, types)}"
        case "enum":
            return f"{key} is {value!r} but must be one of {', '.join(map(str, wanted))}"
        case "minimum":
            return f"{key} is {value!r} but must be at least {wanted}"
        case "maximum":
            return f"{key} is {value!r} but must be at most {wanted}"
        case "exclusiveMinimum":
            return f"{key} is {value!r} but must be larger than {wanted}"
        case "minItems":
            return f"{key} is an empty list but needs at least {wanted} value"
        case "uniqueItems":
            return f"{key} is {value!r} but must not name a value twice"
        case _:
            return f"{key}: {error.message}"


def _explain_unknown(place: str, value: Mapping[str, Any], allowed: Mapping[str, Any]) -> str:
    unknown = next(str(key) for key in value if key not in allowed)
    name = f"{place}.{unknown}" if place else unknown
    return (
        f"the key {name} is unknown{guess(unknown, allowed)}; allowed here are {', '.join(allowed)}"
    )


def guess(name: str, known: Iterable[str]) -> str:
    """A question after the known name that is most like this one; empty where none is like it."""
    near = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _hint(value: Any, types: list[str]) -> str:
    """Advice for a text that stands for a list or a number; empty where it is neither."""
    if not isinstance(value, str):
        return ""
    if "array" in types:
        return f" (a list of one is [{value}])"
    if not {"integer", "number"} & set(types):
        return ""
    try:
        is_number = math.isfinite(float(value))
    except ValueError:
        is_number = False
    if not is_number:
        return ""
    return " (YAML takes 1e-4 for a text: write 1.0e-4; nested values need --configfile)"


def _check_source(root: Path, source: str) -> None:
    known = ["fresh", *_archived(root)]
    if source not in known:
        raise ConfigurationError(
            f"Configuration: there are no results for the source '{source}' "
            f"(no file results/{source}/provenance.json): use one of {', '.join(known)}."
        )


def _check_beside(root: Path, beside: list[str]) -> None:
    for folder in beside:
        if folder not in _archived(root):
            raise ConfigurationError(
                f"Configuration: beside names '{folder}', which is no archive "
                f"(no file results/{folder}/provenance.json): use some of "
                f"{', '.join(_archived(root))}, or null for all."
            )


def _archived(root: Path) -> list[str]:
    return [f"archived/{label}" for label in archives(root)]


def _read_yaml(path: Path) -> Settings:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except yaml.YAMLError as error:
        cause = " ".join(str(error).split())
        raise ConfigurationError(
            f"Configuration: config/{path.name} is not YAML ({cause})."
        ) from None
    return {} if content is None else content
