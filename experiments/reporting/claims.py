"""The paper's claims beside what was measured, and what was found beyond the paper.

    python -m experiments.reporting.claims --results results/archived/LABEL \\
        --output figures/out/archived/LABEL/claims.csv \\
        --findings figures/out/archived/LABEL/findings.csv

judges what paper/claims.yaml lists by the results in a folder. Beside the CSVs are what readers see
as Markdown and LaTeX. Results that a folder lacks are no fault: the tables say so.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.harness.command_line import csv_path
from experiments.reporting import claim_list
from experiments.reporting.claim_list import ClaimList, ClaimsError, Entry
from experiments.reporting.labels import label
from experiments.reporting.measures.measurement import Measurement
from experiments.reporting.measures.registry import MEASURES
from experiments.reporting.results import NotMeasured, Results
from experiments.reporting.tables.layout import MISSING, write_tables

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
UNTESTABLE = "not testable on this device"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, UNTESTABLE)
CLAIM_COLUMNS = [
    "id",
    "item",
    "claim",
    "reported",
    "confirmed",
    "measured",
    "verdict",
    "judged",
    "rule",
    "duration_s",
    "device",
]
FINDING_COLUMNS = ["id", "finding", "measured", "figure", "rule", "duration_s"]
CLAIMS_NOTE = (
    "Values marked as unconfirmed are reported, but were not compared with the paper's text. How a "
    "claim is judged was chosen from what the paper says. Claims about the speed of a GPU are not "
    "judged by times of another device. The sizes of scale smoke are too small for a verdict."
)
FINDINGS_NOTE = "What is measured here, by the figure named."
_REPOSITORY = Path(__file__).resolve().parents[2]


def judge_claims(claims: Sequence[Entry], source: Results) -> pd.DataFrame:
    """One row a claim."""
    return pd.DataFrame([_judged(claim, source) for claim in claims], columns=CLAIM_COLUMNS)


def measure_findings(findings: Sequence[Entry], source: Results) -> pd.DataFrame:
    """One row a finding. One that does not hold for these results is said not to."""
    rows = []
    for finding in findings:
        try:
            measurement = measure(finding, source)
            held = holds(finding, measurement.values)
            text = measurement.text if held else f"does not hold here: {measurement.text}"
            duration = source.duration(measurement.experiment)
        except NotMeasured as reason:
            text, duration = f"not measured here: {reason}", math.nan
        rows.append({**finding, "measured": text, "duration_s": duration})
    return pd.DataFrame(rows, columns=FINDING_COLUMNS)


def _judged(claim: Entry, source: Results) -> dict[str, Any]:
    row = {**claim, "judged": criterion(claim)}
    try:
        measurement = measure(claim, source)
        held = holds(claim, measurement.values)
    except NotMeasured as reason:
        text = f"not measured here: {reason}"
        return {
            **row,
            "measured": text,
            "verdict": UNTESTABLE,
            "duration_s": math.nan,
            "device": MISSING,
        }
    testable = claim["device"] == "any" or source.on_gpu(measurement.experiment)
    verdict = REPRODUCED if held else NOT_REPRODUCED
    return {
        **row,
        "measured": measurement.text,
        "verdict": verdict if testable else UNTESTABLE,
        "duration_s": source.duration(measurement.experiment),
        "device": source.device(measurement.experiment),
    }


def measure(entry: Entry, source: Results) -> Measurement:
    """What a claim or a finding says how to compute."""
    return MEASURES[entry["measure"]](source, **entry.get("arguments", {}))


def holds(entry: Entry, values: Mapping[str, float]) -> bool:
    """Whether the measured values meet the criterion, all of them."""
    targets = _targets(entry["against"], values)
    absent = [name for name in targets if name not in values]
    if absent:
        raise NotMeasured(f"no results for {', '.join(map(label, absent))}")
    if entry["judge"] == "in_order":
        return all(values[one] < values[other] for one, other in pairwise(targets))
    tolerance = entry.get("tolerance", 0)
    return all(
        _meets(entry["judge"], values[name], target, tolerance) for name, target in targets.items()
    )


def _targets(against: Any, values: Mapping[str, float]) -> dict[str, Any]:
    """The number that each value is compared with, by name; an order has names without numbers."""
    if isinstance(against, Mapping):
        return dict(against)
    return dict.fromkeys(against if isinstance(against, list) else values, against)


def _meets(judge: str, value: float, target: float, tolerance: float) -> bool:
    match judge:
        case "at_least":
            return value >= target - tolerance
        case "at_most":
            return value <= target + tolerance
        case "within":
            return abs(value - target) <= tolerance
        case "within_factor":
            return target / tolerance <= value <= target * tolerance
        case _:
            raise ValueError(f"{judge!r} is not a way to judge numbers.")


def criterion(entry: Entry) -> str:
    """How an entry is judged, in words."""
    wanted, tolerance = entry["against"], entry.get("tolerance")
    if isinstance(wanted, list):
        return "order: " + ", ".join(map(label, wanted))
    if isinstance(wanted, Mapping):
        target = ", ".join(f"{label(name)} {_short(value)}" for name, value in wanted.items())
    else:
        target = _short(wanted)
    match entry["judge"]:
        case "within_factor":
            return f"{target}, within a factor of {tolerance:g}"
        case "within":
            return f"{target}, within {tolerance:g}"
        case bound:
            slack = "" if tolerance is None else f" (tolerance {tolerance:g})"
            return f"{bound.replace('_', ' ')} {target}{slack}"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-")


def claims_for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """The claims as documents show them."""
    marks = ["" if one else "; reported (unconfirmed)" for one in table["confirmed"]]
    return pd.DataFrame(
        {
            "figure or table": table["item"],
            "claim": table["claim"],
            "reported": table["reported"] + marks,
            "measured here": table["measured"],
            "verdict": table["verdict"],
            "judged by": table["judged"],
            "target": table["rule"],
        }
    )


def findings_for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """The findings as documents show them."""
    return table.drop(columns=["id", "duration_s"]).rename(columns={"rule": "target"})


def tables(listed: ClaimList, source: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The claims and the findings, judged by the results of a source."""
    return judge_claims(listed.claims, source), measure_findings(listed.findings, source)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.claims")
    parser.add_argument("--results", type=Path, required=True, help="the folder of a source")
    parser.add_argument("--output", type=csv_path, required=True, help="also .md and .tex")
    parser.add_argument("--findings", type=csv_path, required=True, help="also .md and .tex")
    options = parser.parse_args(arguments)
    try:
        listed = claim_list.read(_REPOSITORY)
    except ClaimsError as error:
        sys.exit(str(error))
    claims, findings = tables(listed, Results(options.results))
    write_tables(options.output, claims, claims_for_readers(claims), CLAIMS_NOTE)
    write_tables(options.findings, findings, findings_for_readers(findings), FINDINGS_NOTE)


if __name__ == "__main__":
    main()
