"""Writes the parts of README.md that follow from the archives and from pyproject.toml.

    python -m experiments.reporting.readme            # its tables, and the pictures that it shows
    python -m experiments.reporting.readme --check    # says whether they are in step
    python -m experiments.reporting.readme --images   # copies the figures that docs/ shows

Claims are judged by results/archived/LABEL, the fullest archive, and by the others beside it. The
figures are copied to docs/images from figures/out/archived/LABEL, so draw the archive first.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.harness.records import write_atomically
from experiments.reporting import archive, badges, claim_list, gain, judged

# The figures that docs/ shows: beside the pictures written here the only ones that are committed.
IMAGES = ("chunks",)
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
    main_archive(root)  # there is one, or a sentence says what to do
    sources = archive.sources(root)
    shown = [f"![{name} {value}]({_place(name)})" for name, value in badges.facts(root).items()]
    return {
        "badges": "\n".join(shown),
        "gain": f"![{gain.ABOUT}]({_place('gain')})\n\n{gain.caption(gain.gains(sources))}",
        "claims": judged.few_claims(claim_list.read(root), sources),
    }


def pictures(root: Path) -> dict[str, str]:
    """The generated pictures by their places."""
    drawn = {name: badges.draw(name, value) for name, value in badges.facts(root).items()}
    drawn["gain"] = gain.draw(gain.gains(archive.sources(root)))
    return {_place(name): picture for name, picture in drawn.items()}


def _place(picture: str) -> str:
    return f"docs/images/{picture}.svg"


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
    """Copies the figures that docs/ shows to docs/images."""
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
    readme = (root / "README.md").read_text(encoding="utf-8")
    for place, wanted in {"README.md": filled(readme, parts(root)), **pictures(root)}.items():
        path = root / place
        if not options.check:
            write_atomically(path, wanted)
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted:
            raise ReadmeError(
                f"{place} is out of step: write it with `python -m experiments.reporting.readme`."
            )


if __name__ == "__main__":
    main()
