"""What stands in the documentation where a page says `<!-- here: NAME -->`."""

import re
from collections.abc import Callable
from pathlib import Path

from experiments.reporting import archive, claim_list, gain, headline, judged
from experiments.reporting.site import examples, reproduce, workflow

HERE = re.compile(r"^<!-- here: (\w+) -->$", re.MULTILINE)
# Files of the repository that are pages of the documentation too.
FILES = {
    "changelog": "CHANGELOG.md",
    "configuration": "config/README.md",
    "contributing": "CONTRIBUTING.md",
}


class PartError(ValueError):
    """A page that asks for what there is not; the message is one sentence for the user."""


def filled(page: str, text: str, parts: dict[str, str]) -> str:
    """The text of a page with its parts in their places."""

    def part(found: re.Match[str]) -> str:
        if found[1] not in parts:
            known = ", ".join(sorted(parts))
            raise PartError(f"docs/{page} asks for the part '{found[1]}': there are {known}.")
        return parts[found[1]]

    return HERE.sub(part, text)


def make(root: Path) -> dict[str, str]:
    """All parts by their names."""
    written: dict[str, Callable[[Path], str]] = {
        "examples": examples.overview,
        "targets": reproduce.targets_table,
        "figures": reproduce.figures,
        "tables": reproduce.tables,
        "workflow": workflow.picture,
    }
    return {
        **{name: (root / file).read_text(encoding="utf-8") for name, file in FILES.items()},
        **_measured(root),
        **{name: write(root) for name, write in written.items()},
    }


def _measured(root: Path) -> dict[str, str]:
    """What follows from the archives alone."""
    sources, listed = archive.sources(root), claim_list.read(root)
    return {
        "measured": headline.listed(sources),
        "gain": gain.caption(gain.gains(sources)),
        "claims": judged.all_claims(listed, sources),
        "seeds": judged.seeds(sources[0]),
        "findings": judged.findings(listed, sources[0]),
    }
