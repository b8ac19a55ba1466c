"""The picture of the workflow: the rules of `snakemake --rulegraph`, from left to right."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.reporting import svg
from experiments.reporting.site import snakemake

ABOUT = "The rules of the workflow, from what measures on the left to all that is made on the right"
# Sizes in pixels; a letter is so wide on average.
LETTER, ROW, COLUMN_GAP, MARGIN = 6.4, 22, 30, 4
BOX = 'rx="5" class="rule"'
ARROW = 'class="arrow"'
# What a rule reads from: the rules before it.
Graph = dict[str, set[str]]


class WorkflowError(Exception):
    """Says in one sentence why there is no picture."""


def picture(root: Path) -> str:
    """The picture, as a block of HTML that scrolls where a screen is narrow."""
    return f'<div class="wide">{_drawn(reduced(rules(_described(root))))}</div>'


def _described(root: Path) -> str:
    answer = snakemake.call(root, "--rulegraph", capture_output=True)
    if answer.returncode:
        raise WorkflowError(f"`./run snakemake --rulegraph` failed: {answer.stderr.strip()}")
    return answer.stdout


def rules(dot: str) -> Graph:
    """The rules that each rule reads from, as Graphviz's language describes them."""
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', dot))
    before: Graph = {name: set() for name in names.values()}
    for source, target in re.findall(r"(\d+) -> (\d+)", dot):
        before[names[target]].add(names[source])
    return before


def reduced(before: Graph) -> Graph:
    """The graph without arrows that say what a chain of others says."""
    behind = {name: _ancestors(name, before) for name in before}
    return {
        name: {one for one in direct if not any(one in behind[other] for other in direct)}
        for name, direct in before.items()
    }


def columns(before: Graph) -> list[list[str]]:
    """The rules by the length of the longest way from them, each near those that read from it."""
    behind: Graph = {name: {one for one in before if name in before[one]} for name in before}
    depths: dict[str, int] = {}
    for name in before:
        _measure(name, behind, depths)
    placed: dict[str, float] = {}
    found = []
    for depth in range(max(depths.values()) + 1):
        names = sorted(name for name in before if depths[name] == depth)
        names.sort(key=lambda name: _height(behind[name], placed))
        placed |= {name: (row + 0.5) / len(names) for row, name in enumerate(names)}
        found.append(names)
    return found[::-1]


def _ancestors(name: str, before: Graph) -> set[str]:
    return before[name].union(*(_ancestors(one, before) for one in before[name]))


def _measure(name: str, graph: Graph, depths: dict[str, int]) -> int:
    """How long the longest way from a rule is."""
    if name not in depths:
        depths[name] = max((_measure(one, graph, depths) + 1 for one in graph[name]), default=0)
    return depths[name]


def _height(names: Iterable[str], placed: Mapping[str, float]) -> float:
    """How far down some rules are on average, from 0 to 1."""
    known = [placed[name] for name in names]
    return sum(known) / len(known) if known else 0


def _drawn(before: Graph) -> str:
    arranged = columns(before)
    height = ROW * max(map(len, arranged)) + 2 * MARGIN
    boxes: dict[str, tuple[float, float, float]] = {}
    left = float(MARGIN)
    for names in arranged:
        width = max(map(len, names)) * LETTER + 12
        step = (height - 2 * MARGIN) / len(names)
        for row, name in enumerate(names):
            boxes[name] = (left, MARGIN + step * (row + 0.5), width)
        left += width + COLUMN_GAP
    arrows = [
        _arrow(boxes[one], boxes[name]) for name, direct in before.items() for one in sorted(direct)
    ]
    shapes = [shape for name, place in boxes.items() for shape in _box(name, *place)]
    return svg.picture(left - COLUMN_GAP + MARGIN, height, ABOUT, arrows + shapes)


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    left, top = start[0] + start[2], start[1]
    right, bottom, _ = end
    middle = (left + right) / 2
    points = (left, top, middle, top, middle, bottom, right, bottom)
    x, y, *curve = (f"{one:.0f}" for one in points)
    return svg.path(f"M{x} {y}C{' '.join(curve)}", ARROW)


def _box(name: str, x: float, y: float, width: float) -> list[str]:
    return [
        svg.box(x, round(y - ROW / 2 + 2), width, ROW - 4, BOX),
        svg.text(x + 6, round(y + 4), name, 'font-size="11"'),
    ]
