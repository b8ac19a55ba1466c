"""The paper's claims beside what was measured, and what was found beyond the paper.

    python -m experiments.reporting.claims --results results/archived/LABEL \\
        --beside results/archived/OTHER --output figures/out/archived/LABEL/claims.csv \\
        --findings figures/out/archived/LABEL/findings.csv

judges what paper/claims.yaml lists by the results in a folder, and by those of other devices in the
folders beside it: each has a column. Findings are those of the first folder. Beside the CSVs are
what readers see as Markdown and LaTeX. Results that a folder lacks are no fault: the tables say so.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.harness.command_line import csv_path
from experiments.reporting import claim_list, verdicts
from experiments.reporting.claim_list import ClaimList, ClaimsError, Entry
from experiments.reporting.measures.measurement import Measurement
from experiments.reporting.measures.registry import MEASURES
from experiments.reporting.results import Column, NotMeasured, Results
from experiments.reporting.tables.layout import MISSING, write_tables

# What a claim says, and what each source says of it: these columns come once a source.
FACTS = ["id", "item", "claim", "reported", "confirmed", "judged", "rule"]
ANSWERS = ["measured", "verdict", "device", "duration_s"]
FINDING_COLUMNS = ["id", "finding", "measured", "figure", "rule", "duration_s"]
CLAIMS_NOTE = (
    "Values marked as unconfirmed are reported, but were not compared with the paper's text. How a "
    "claim is judged was chosen from what the paper says. The sizes of scale smoke are too small "
    f"for a verdict. {verdicts.MEANINGS}"
)
FINDINGS_NOTE = "What is measured here, by the figure named."
# How a finding begins where its results do not show it.
UNSURE = {
    verdicts.NOT_REPRODUCED: "does not hold here: ",
    verdicts.TIE: "a tie here: ",
    verdicts.MARGINAL: "marginal here: ",
}
_REPOSITORY = Path(__file__).resolve().parents[2]


def judge_claims(claims: Sequence[Entry], sources: Sequence[Results]) -> pd.DataFrame:
    """One row a claim, with the answer of each source."""
    listed = [{**claim, "judged": verdicts.criterion(claim)} for claim in claims]
    parts = [pd.DataFrame(listed, columns=FACTS)]
    for source in sources:
        answers = [_answer(claim, source) for claim in claims]
        table = pd.DataFrame(answers, columns=ANSWERS)
        parts.append(table.rename(columns=lambda name, source=source: answer(name, source)))
    return pd.concat(parts, axis=1)


def answer(name: str, source: Results) -> str:
    """The column of claims in which a source's answer stands."""
    return f"{name} ({source.name})"


def measure_findings(findings: Sequence[Entry], source: Results) -> pd.DataFrame:
    """One row a finding. One that does not hold for these results is said not to."""
    rows = []
    for finding in findings:
        try:
            measurement = measure(finding, source)
            verdict = verdicts.verdict(finding, measurement)
            text = UNSURE.get(verdict, "") + measurement.text
            duration = source.duration(measurement.experiment)
        except NotMeasured as reason:
            text, duration = f"not measured here: {reason}", math.nan
        rows.append({**finding, "measured": text, "duration_s": duration})
    return pd.DataFrame(rows, columns=FINDING_COLUMNS)


def _answer(claim: Entry, source: Results) -> dict[str, Any]:
    """What a source says of a claim."""
    try:
        measurement = measure(claim, source)
        verdict = verdicts.verdict(claim, measurement)
    except NotMeasured as reason:
        return {"measured": str(reason), "verdict": verdicts.NOT_MEASURED, "device": MISSING}
    testable = claim["device"] == "any" or source.on_gpu(measurement.experiment)
    return {
        "measured": measurement.text,
        "verdict": verdict if testable else verdicts.UNTESTABLE,
        "duration_s": source.duration(measurement.experiment),
        "device": source.device(measurement.experiment),
    }


def measure(entry: Entry, source: Results) -> Measurement:
    """What a claim or a finding says how to compute."""
    return MEASURES[entry["measure"]](source, **entry.get("arguments", {}))


def claims_for_readers(table: pd.DataFrame, sources: Sequence[Results]) -> pd.DataFrame:
    """The claims as documents show them: a column for the first source, and one a device beside it.

    What a device says is what its newest source does that measured it.
    """
    first, *beside = sources
    by_device: dict[str, list[Results]] = {}
    for source in sorted(beside, key=lambda one: one.name, reverse=True):
        by_device.setdefault(source.devices, []).append(source)
    columns = [[first], *by_device.values()]
    answers = {_heading(column): _first_answers(table, column) for column in columns}
    marks = ["" if one else "; reported (unconfirmed)" for one in table["confirmed"]]
    return pd.DataFrame(
        {
            "figure or table": table["item"],
            "claim": table["claim"],
            "reported": table["reported"] + marks,
            **answers,
            "judged by": table["judged"],
            "target": table["rule"],
        }
    )


def _heading(column: Sequence[Results]) -> str:
    return f"{column[0].devices} ({', else '.join(source.name for source in column)})"


def _first_answers(table: pd.DataFrame, column: Sequence[Results]) -> Column:
    """Verdict and value of the first source that measured a claim; else what the last one says."""
    *others, last = [
        table[answer("verdict", source)] + ": " + table[answer("measured", source)]
        for source in column
    ]
    for source, said in zip(reversed(column[:-1]), reversed(others), strict=True):
        measured = table[answer("verdict", source)] != verdicts.NOT_MEASURED
        last = said.where(measured, last)
    return last


def findings_for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """The findings as documents show them."""
    return table.drop(columns=["id", "duration_s"]).rename(columns={"rule": "target"})


def tables(
    listed: ClaimList, source: Results, beside: Sequence[Results] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The claims judged by a source and by those beside it, and the findings of the source."""
    judged = judge_claims(listed.claims, [source, *beside])
    return judged, measure_findings(listed.findings, source)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.claims")
    parser.add_argument("--results", type=Path, required=True, help="the folder of a source")
    parser.add_argument(
        "--beside", type=Path, nargs="*", default=[], help="folders of sources that answer too"
    )
    parser.add_argument("--output", type=csv_path, required=True, help="also .md and .tex")
    parser.add_argument("--findings", type=csv_path, required=True, help="also .md and .tex")
    options = parser.parse_args(arguments)
    try:
        listed = claim_list.read(_REPOSITORY)
    except ClaimsError as error:
        sys.exit(str(error))
    source, *beside = sources = [Results(one) for one in (options.results, *options.beside)]
    claims, findings = tables(listed, source, beside)
    write_tables(options.output, claims, claims_for_readers(claims, sources), CLAIMS_NOTE)
    write_tables(options.findings, findings, findings_for_readers(findings), FINDINGS_NOTE)


if __name__ == "__main__":
    main()
