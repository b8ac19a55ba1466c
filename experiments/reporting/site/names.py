"""Links from a public name, wherever a page writes it as code, to where it is described."""

import re
from pathlib import Path

# What must stay as it is: links, headings, blocks of code. The last alternative is a name.
_NAMES = re.compile(
    r"<(a|h[1-6]|pre|autoref)\b.*?</\1>|<code>(?:parallel_rnn\.)?(\w+)(\([^<]*\))?</code>",
    re.DOTALL,
)
_EXPORTED = re.compile(r"^from \.[\w.]+ import \w+ as (\w+)$", re.MULTILINE)


def public(root: Path) -> dict[str, str]:
    """Every public name and its full name."""
    package = root / "src" / "parallel_rnn"
    found = {}
    for folder, prefix in ((package / "cells", "parallel_rnn.cells"), (package, "parallel_rnn")):
        exported = _EXPORTED.findall((folder / "__init__.py").read_text(encoding="utf-8"))
        found |= {name: f"{prefix}.{name}" for name in exported}
    return found


def linked(html: str, names: dict[str, str]) -> str:
    """The page with its names as references that mkdocs-autorefs resolves."""

    def link(found: re.Match[str]) -> str:
        full = names.get(found[2] or "")
        return f'<autoref identifier="{full}">{found[0]}</autoref>' if full else found[0]

    return _NAMES.sub(link, html)
