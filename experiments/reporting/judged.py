"""What the archives say of the claims, and what was found beyond the paper: tables in Markdown."""

import math
from collections.abc import Sequence

import pandas as pd

from experiments.reporting import claims
from experiments.reporting.claim_list import ClaimList
from experiments.reporting.format import duration
from experiments.reporting.results import Column, NotMeasured, Results
from experiments.reporting.tables import argru_seeds
from experiments.reporting.tables.layout import MISSING, to_markdown
from experiments.reporting.verdicts import MEANINGS, VERDICTS

TIMES_NOTE = (
    "Times are those of the experiment behind a row, all its jobs one after another on the first "
    "device; the command also makes what the experiment needs."
)


def all_claims(listed: ClaimList, sources: Sequence[Results]) -> str:
    """Every claim, with how it is judged and by which command it is measured."""
    judged = claims.judge_claims(listed.claims, sources)
    shown = claims.claims_for_readers(judged, sources)
    table = _as_commands(shown, judged[claims.answer("duration_s", sources[0])])
    note = f"{claims.CLAIMS_NOTE} {TIMES_NOTE}"
    return f"{_counts(judged, sources)}\n\n{to_markdown(table, note)}"


def few_claims(listed: ClaimList, sources: Sequence[Results]) -> str:
    """The claims that stand for all, and how many of all have each verdict."""
    judged = claims.judge_claims(listed.claims, sources)
    chosen = judged.loc[[bool(claim.get("headline")) for claim in listed.claims]]
    shown = claims.claims_for_readers(chosen, sources).drop(columns=["judged by", "target"])
    note = f"{MEANINGS} Verdicts on all {len(listed.claims)} claims:"
    return f"{to_markdown(shown, note)}\n{_counts(judged, sources)}"


def findings(listed: ClaimList, source: Results) -> str:
    """Every finding, with the command that measures it."""
    found = claims.measure_findings(listed.findings, source)
    return to_markdown(_as_commands(claims.findings_for_readers(found), found["duration_s"]), "")


def seeds(source: Results) -> str:
    """The table of the seeds of the AR GRU's training, or that it was not measured."""
    try:
        made = argru_seeds.make(source, argru_seeds.EXPERIMENT)
    except NotMeasured as reason:
        return f"Not measured in `results/{source.name}`: {reason}."
    return to_markdown(made.shown, made.note)


def _counts(judged: pd.DataFrame, sources: Sequence[Results]) -> str:
    return "\n".join(_counted(judged, source) for source in sources)


def _counted(judged: pd.DataFrame, source: Results) -> str:
    """How many claims a source has each verdict on."""
    counts = judged[claims.answer("verdict", source)].value_counts()
    verdicts = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
    return f"- {source.devices} (`results/{source.name}`): {verdicts}."


def _as_commands(table: pd.DataFrame, durations: Column) -> pd.DataFrame:
    """The table with commands in place of targets, and how long their experiments took."""
    commands = [f"`./run snakemake {target}`" for target in table["target"]]
    times = [MISSING if math.isnan(one) else duration(one) for one in durations]
    return table.drop(columns="target").assign(command=commands, time=times)
