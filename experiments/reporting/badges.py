"""The badges of README.md: facts of pyproject.toml as pictures, without a server of badges."""

import tomllib
from pathlib import Path

from experiments.reporting import svg

# Of the font below, a little more than a letter is wide on average.
LETTER = 7
HEIGHT = 20


def facts(root: Path) -> dict[str, str]:
    """What the badges say."""
    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return {
        "version": project["version"],
        "python": project["requires-python"].removeprefix(">=") + "+",
        "licence": project["license"],
    }


def draw(name: str, value: str) -> str:
    """A badge: a name on grey, a value on blue."""
    left, right = (LETTER * len(words) + 10 for words in (name, value))
    white = 'fill="white" font-size="11"'
    shapes = [
        svg.box(0, 0, left + right, HEIGHT, 'rx="3" fill="#3f51b5"'),
        svg.box(0, 0, left, HEIGHT, 'rx="3" fill="#555"'),
        svg.text(5, 14, name, white),
        svg.text(left + 5, 14, value, white),
    ]
    return svg.picture(left + right, HEIGHT, f"{name} {value}", shapes)
