"""Writes the parts of README.md that follow from the fullest archive, and its pictures.

    python -m experiments.reporting.readme            # writes the tables of README.md
    python -m experiments.reporting.readme --check    # says whether they are in step
    python -m experiments.reporting.readme --images   # copies the figures that README.md shows

The tables are judged from results/archived/LABEL, claims by the other archives too. The pictures
are copied to docs/images from figures/out/archived/LABEL, so draw the archive first.
"""

import argparse
import math
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.harness.records import write_atomically
from experiments.reporting import archive, claim_list, claims, headline
from experiments.reporting.format import duration
from experiments.reporting.results import Column, NotMeasured, Results
from experiments.reporting.tables import argru_seeds
from experiments.reporting.tables.layout import MISSING, to_markdown
from experiments.reporting.verdicts import VERDICTS

# The figures that README.md shows: the only pictures that are committed.
IMAGES = (
    "argru_convergence",
    "chunks",
    "gpu_memory_batch16",
    "gru_scaling_batch1",
    "wide",
    "windows",
)
TIMES_NOTE = (
    "Times are those of the experiment behind a row, all its jobs one after another on the first "
    "device; the command also makes what the experiment needs."
)
BEGIN = "<!-- {name}: written by python -m experiments.reporting.readme -->"
END = "<!-- end of {name} -->"
_REPOSITORY = Path(__file__).resolve().parents[2]


class ReadmeError(ValueError):
    """A README that cannot be written; the message is one sentence for the user."""


def main_archive(root: Path) -> Path:
    """The archive that README.md shows: the newest of those with the most experiments."""
    found = archive.fullest(root)
    if found is None:
        raise ReadmeError(
            "There is no archive in results/archived: promote one (CONTRIBUTING.md says how)."
        )
    return found


def parts(root: Path) -> dict[str, str]:
    """The generated parts by their names."""
    shown = main_archive(root)
    others = [Results(folder) for folder in archive.folders(root) if folder != shown]
    sources = [Results(shown), *others]
    judged, found = claims.tables(claim_list.read(root), sources[0], others)
    durations = judged[claims.answer("duration_s", sources[0])]
    return {
        "measured": headline.listed(sources),
        "claims": _claims(judged, sources, durations),
        "seeds": _seeds(sources[0]),
        "findings": to_markdown(
            _as_commands(claims.findings_for_readers(found), found["duration_s"]), ""
        ),
    }


def _claims(judged: pd.DataFrame, sources: Sequence[Results], durations: Column) -> str:
    verdicts = "\n".join(_counted(judged, source) for source in sources)
    shown = _as_commands(claims.claims_for_readers(judged, sources), durations)
    table = to_markdown(shown, f"{claims.CLAIMS_NOTE} {TIMES_NOTE}")
    return f"{verdicts}\n\n{table}"


def _seeds(source: Results) -> str:
    """The table of the seeds of the AR GRU's training, or that it was not measured."""
    try:
        made = argru_seeds.make(source, argru_seeds.EXPERIMENT)
    except NotMeasured as reason:
        return f"Not measured in `results/{source.name}`: {reason}."
    return to_markdown(made.shown, made.note)


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


def filled(text: str, written: dict[str, str]) -> str:
    """A README with its generated parts replaced."""
    for name, part in written.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ReadmeError(
                f"README.md needs the lines '{begin}' and '{end}' once each: put them where the "
                f"{name} belong."
            )
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        replacement = f"{begin}\n\n{part.strip()}\n\n{end}"
        text = between.sub(lambda _, replacement=replacement: replacement, text)
    return text


def copy_images(root: Path) -> None:
    """Copies the figures that README.md and docs/ show to docs/images."""
    drawn = root / "figures" / "out" / "archived" / main_archive(root).name
    kept = root / "docs" / "images"
    missing = [name for name in IMAGES if not (drawn / f"{name}.png").exists()]
    if missing:
        raise ReadmeError(
            f"{drawn.relative_to(root)} has no {missing[0]}.png: draw the archive with "
            f"`./run snakemake --cores all --config source=archived/{drawn.name}`."
        )
    kept.mkdir(parents=True, exist_ok=True)
    for name in IMAGES:
        shutil.copyfile(drawn / f"{name}.png", kept / f"{name}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.reporting.readme")
    tasks = parser.add_mutually_exclusive_group()
    tasks.add_argument("--check", action="store_true", help="write nothing")
    tasks.add_argument("--images", action="store_true", help="copy the figures instead")
    options = parser.parse_args(arguments)
    try:
        _run(_REPOSITORY, options)
    except (ReadmeError, claim_list.ClaimsError) as error:
        sys.exit(str(error))


def _run(root: Path, options: argparse.Namespace) -> None:
    if options.images:
        return copy_images(root)
    path = root / "README.md"
    present = path.read_text(encoding="utf-8")
    wanted = filled(present, parts(root))
    if options.check and present != wanted:
        raise ReadmeError(
            "README.md is out of step: write it with `python -m experiments.reporting.readme`."
        )
    if not options.check:
        write_atomically(path, wanted)


if __name__ == "__main__":
    main()
