"""Writes config/README.md from config/schema.yaml and the scales' files.

python -m experiments.reporting.config_docs
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.harness.configuration import defaults, merge, read_scale, read_schema

# The scales that the tables show, from small to large.
SCALES = ("smoke", "cpu", "gpu", "paper")
_REPOSITORY = Path(__file__).resolve().parents[2]

_INTRODUCTION = """\
# Configuration

Made from `schema.yaml` by `python -m experiments.reporting.config_docs`; a test fails when it is
out of step.

`config.yaml` names the scale and the source of the results. `scale_NAME.yaml` holds the numbers
of a scale. A value given on the command line goes before both:

    ./run snakemake --cores all --config scale=smoke
    ./run snakemake --cores all --config source=archived/LABEL
    ./run snakemake --cores all --configfile my_values.yaml

Name targets before these options, which take every word that follows. Nested values need
`--configfile`, since `--config` turns them into text. Mappings are merged key by key, lists are
replaced. An unknown key, scale or source and a value of a wrong type are refused with one
sentence. A scale of your own is a new file `scale_NAME.yaml` of the same form; what it leaves out
takes the default, the value of scale `cpu`. YAML takes `1e-4` for a text: write `1.0e-4`.
"""


def render(root: Path) -> str:
    """The text of config/README.md."""
    schema = read_schema(root)
    values = {name: merge(defaults(schema), read_scale(root, name)) for name in SCALES}
    parts = [_INTRODUCTION, "## What to run\n", _general_table(schema)]
    for name, part in schema["properties"].items():
        if "properties" in part:
            parts += [f"## `{name}`\n", f"{part['description']}\n", _table(part, [name], values)]
    return "\n".join(parts)


def _general_table(schema: Mapping[str, Any]) -> str:
    rows = [
        [f"`{key}`", part["description"], part["unit"], _show(part["default"])]
        for key, part in schema["properties"].items()
        if "properties" not in part
    ]
    return _markdown(["key", "meaning", "unit", "default"], rows)


def _table(part: Mapping[str, Any], place: list[str], values: Mapping[str, Any]) -> str:
    rows = [
        [f"`{'.'.join(keys[1:])}`", leaf["description"], leaf["unit"]]
        + [_show(_find(settings, keys)) for settings in values.values()]
        for keys, leaf in _leaves(part, place)
    ]
    return _markdown(["key", "meaning", "unit", *values], rows)


def _leaves(part: Mapping[str, Any], place: list[str]) -> Iterator[tuple[list[str], Any]]:
    for key, child in part["properties"].items():
        if "properties" in child:
            yield from _leaves(child, [*place, key])
        else:
            yield [*place, key], child


def _find(settings: Any, keys: list[str]) -> Any:
    for key in keys:
        settings = settings[key]
    return settings


def _show(value: Any) -> str:
    if value is None:
        return "null"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    (_REPOSITORY / "config" / "README.md").write_text(render(_REPOSITORY), encoding="utf-8")
