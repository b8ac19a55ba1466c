"""The page of what can be reproduced: every target with its command, its time and its pictures."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import indent

from experiments.catalogue import EXPERIMENTS, FIGURES, TABLES, members, targets
from experiments.harness.entries import BEYOND, PAPER, Figure, Table
from experiments.reporting import archive
from experiments.reporting.format import duration
from experiments.reporting.results import Results
from experiments.reporting.site import pictures
from experiments.reporting.tables.layout import MISSING

# Where figures of these categories begin on the page.
HEADINGS = {PAPER: "Figures of the paper", BEYOND: "Figures beyond the paper"}


def targets_table(root: Path) -> str:
    """Every target: what it makes, how long that took in each archive, where it is shown."""
    sources = archive.sources(root)
    header = ["target", "what it makes", *map(_heading, sources), "shown"]
    rows = [_target_row(name, about, sources) for name, about in targets().items()]
    return _table([header, ["---"] * len(header), *rows])


def figures(root: Path) -> str:
    """Every figure: how it is made, its pictures from all archives that have it, its caption."""
    parts = []
    for category, heading in HEADINGS.items():
        chosen = [one for one in FIGURES if one.category == category]
        parts += [f"## {heading}", *(_figure(root, one) for one in chosen)]
    return "\n\n".join(parts)


def tables(root: Path) -> str:
    """Every table but the judgements of all archives, which are on the page of the claims."""
    return "\n\n".join(_result_table(root, one) for one in TABLES if one.experiment)


def _target_row(name: str, about: str, sources: Iterable[Results]) -> list[str]:
    made = members(name)
    needed = dict.fromkeys(one.name for one in made.experiments)
    needed |= dict.fromkeys(one.experiment for one in (*made.figures, *made.tables))
    times = [_time(source, needed) for source in sources]
    links = [f"[{one.label}]({_place(one)})" for one in (*made.figures, *made.tables)]
    return [f"`{name}`", about, *times, ", ".join(links) or MISSING]


def _figure(root: Path, figure: Figure) -> str:
    tabs = [
        _tab(source, figure.experiment, _picture(source, figure))
        for source in _holding(root, figure)
    ]
    return _section(root, figure, figure.script or figure.name, tabs)


def _result_table(root: Path, table: Table) -> str:
    tabs = [
        _tab(source, table.experiment, _made(root, source, table))
        for source in _holding(root, table)
    ]
    return _section(root, table, table.name, tabs)


def _section(root: Path, entry: Figure | Table, caption: str, tabs: list[str]) -> str:
    shown = tabs or ["No archive has results of it yet."]
    return "\n\n".join([*_opening(entry), *shown, _caption(root, caption)])


def _holding(root: Path, entry: Figure | Table) -> list[Results]:
    """The archives that have the results of a figure or a table."""
    return [one for one in archive.sources(root) if pictures.holds(one, entry)]


def _opening(entry: Figure | Table) -> Iterator[str]:
    yield f"### {entry.label} {{ #{entry.name} }}"
    yield entry.about
    yield f"    ./run snakemake {_target(entry)}"


def _tab(source: Results, experiment: str, content: str) -> str:
    where = f"`results/{source.name}`, measured in {_time(source, [experiment])}"
    return f'=== "{_heading(source)}"\n\n' + indent(f"{content}\n\n{where}", "    ")


def _picture(source: Results, figure: Figure) -> str:
    place = pictures.uri(source, figure.name)
    return f"[![{figure.about}]({place})]({place})"


def _made(root: Path, source: Results, table: Table) -> str:
    return (pictures.drawn(root, source) / f"{table.name}.md").read_text(encoding="utf-8")


def _caption(root: Path, name: str) -> str:
    """The caption in Markdown, folded."""
    text = (root / "figures" / "captions" / f"{name}.rst").read_text(encoding="utf-8")
    text = re.sub(r"``\{\{.*?\}\}``", "those named above", text)
    return '??? note "How to read it"\n\n' + indent(text.replace("``", "`"), "    ")


def _target(entry: Figure | Table) -> str:
    """The target that makes a figure or a table, and nothing that it does not need."""
    if isinstance(entry, Table):
        return entry.name
    own = next(one.target or one.name for one in EXPERIMENTS if one.name == entry.experiment)
    return entry.target or own


def _place(entry: Figure | Table) -> str:
    """Where on the site a figure or table is shown."""
    return f"#{entry.name}" if entry.experiment else f"claims.md#{entry.name}"


def _heading(source: Results) -> str:
    return f"{source.devices} ({source.folder.name})"


def _time(source: Results, experiments: Iterable[str]) -> str:
    """How long some experiments took, those of them that the source has."""
    known = [source.duration(name) for name in experiments if source.records(name)]
    return duration(sum(known)) if known else MISSING


def _table(rows: Iterable[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
