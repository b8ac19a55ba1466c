"""The figures and tables of every archive, drawn by the workflow before the pages are written."""

from collections.abc import Iterator
from pathlib import Path

from experiments.catalogue import FIGURES, TABLES
from experiments.harness.entries import Figure, Table
from experiments.reporting import archive
from experiments.reporting.results import Results
from experiments.reporting.site import snakemake


class DrawingError(Exception):
    """Says in one sentence why there are no pictures."""


def holds(source: Results, entry: Figure | Table) -> bool:
    """Whether an archive has the results of a figure, or of a table about one experiment."""
    needed = (entry.experiment, *entry.further)
    return bool(entry.experiment) and all(source.has(name) for name in needed)


def drawn(root: Path, source: Results) -> Path:
    """The folder in which the workflow draws an archive."""
    return root / "figures" / "out" / source.name


def uri(source: Results, name: str) -> str:
    """Where a picture lies in the site."""
    return f"drawn/{source.folder.name}/{name}.png"


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """Each picture: where it lies in the site, and where it was drawn."""
    for source in archive.sources(root):
        for one in FIGURES:
            if holds(source, one):
                yield uri(source, one.name), drawn(root, source) / f"{one.name}.png"


def draw(root: Path) -> None:
    """Draws what is missing or out of step; no experiment can start from an archive."""
    wanted = [path for _, path in files(root)]
    for source in archive.sources(root):
        made = [one.name for one in TABLES if holds(source, one)]
        wanted += [drawn(root, source) / f"{name}.md" for name in made]
    targets = [path.relative_to(root).as_posix() for path in wanted]
    answer = snakemake.call(root, "--cores", "all", "--quiet", "all", "--", *targets)
    if answer.returncode:
        raise DrawingError(
            "The figures of the archives could not be drawn, for the reason above: "
            "`./run snakemake --cores all --config source=archived/LABEL` draws those of one."
        )
