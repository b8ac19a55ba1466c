"""paper/claims.yaml: read and checked. Every fault is one sentence that names the claim."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from experiments.catalogue import targets
from experiments.harness.configuration import fault
from experiments.reporting.measures.registry import MEASURES
from experiments.reporting.results import Results

Entry = Mapping[str, Any]

BOUNDS = ["at_least", "at_most", "upper_bound"]

_TEXT = {"type": "string"}
# What claims and findings have in common: how a thing is measured and judged.
_TEST = {
    "id": _TEXT,
    "rule": _TEXT,
    "measure": _TEXT,
    "arguments": {"type": "object"},
    "judge": {"enum": [*BOUNDS, "within", "within_factor", "in_order"]},
    "against": {"type": ["number", "object", "array"]},
    "tolerance": {"type": "number"},
}
_CLAIM = {
    "item": _TEXT,
    "claim": _TEXT,
    "reported": _TEXT,
    "confirmed": {"type": "boolean"},
    "device": {"enum": ["any", "gpu"]},
    "headline": {"type": "boolean"},
}
_FINDING = {"finding": _TEXT, "figure": _TEXT}
_OPTIONAL = {"arguments", "tolerance", "headline"}


def _entries(own: Mapping[str, Any]) -> dict[str, Any]:
    properties = {**_TEST, **own}
    return {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            "required": sorted(properties.keys() - _OPTIONAL),
        },
    }


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"claims": _entries(_CLAIM), "findings": _entries(_FINDING)},
    "required": ["claims", "findings"],
}


class ClaimsError(ValueError):
    """A list of claims that cannot be judged; the message is one sentence for the user."""


class ClaimList(NamedTuple):
    """What the paper says, and what was found beyond it."""

    claims: list[Entry]
    findings: list[Entry]


def read(root: Path) -> ClaimList:
    """The list of a repository, checked."""
    path = root / "paper" / "claims.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ClaimsError(f"{path.name} is not YAML: {' '.join(str(error).split())}.") from None
    return check(content)


def check(content: Any) -> ClaimList:
    """Refuses what cannot be measured or judged, in one sentence."""
    wrong = fault(content, SCHEMA)
    if wrong is not None:
        raise ClaimsError(f"claims.yaml: {wrong}.")
    listed = [*content["claims"], *content["findings"]]
    names = [entry["id"] for entry in listed]
    for entry in listed:
        wrong = next(_faults(entry), None)
        if wrong is not None:
            raise ClaimsError(f"claims.yaml, {entry['id']}: {wrong}.")
        if names.count(entry["id"]) > 1:
            raise ClaimsError(f"claims.yaml: the id {entry['id']} is given twice.")
    return ClaimList(content["claims"], content["findings"])


def _faults(entry: Entry) -> Iterator[str]:
    if entry["rule"] not in targets():
        yield f"there is no target {entry['rule']} in experiments/catalogue.py"
    if entry["measure"] not in MEASURES:
        yield f"there is no measure {entry['measure']}; there are {', '.join(sorted(MEASURES))}"
    else:
        yield from _argument_faults(MEASURES[entry["measure"]], entry)
    judge, ordered = entry["judge"], isinstance(entry["against"], list)
    if (judge == "in_order") != ordered:
        yield f"{judge} needs {'a number or a mapping' if ordered else 'a list'} in against"
    if judge in ("within", "within_factor") and "tolerance" not in entry:
        yield f"{judge} needs a tolerance"


def _argument_faults(measure: Callable, entry: Entry) -> Iterator[str]:
    try:
        inspect.signature(measure).bind(Results(Path()), **entry.get("arguments", {}))
    except TypeError as error:
        yield f"the arguments of {entry['measure']} do not fit: {error}"
