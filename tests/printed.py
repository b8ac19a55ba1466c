"""The text of a PDF with its size on paper, also of PDFs that are embedded in it as figures."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pypdf import PdfReader
from pypdf.generic import ContentStream

SHOWS = {b"Tj", b"TJ", b"'", b'"'}


class Printed(NamedTuple):
    """A piece of text: its page, its size in points, whether it is part of a figure."""

    page: int
    size: float
    in_figure: bool
    text: str


def printed(path: Path) -> Iterator[Printed]:
    """All text of a PDF, in the order in which it is drawn."""
    reader = PdfReader(path)
    for number, page in enumerate(reader.pages, start=1):
        for size, depth, text in _texts(page.get_contents(), page, np.eye(3)):
            yield Printed(number, size, depth > 0, text)


def _texts(
    content: ContentStream | None, owner: Any, placed: np.ndarray, depth: int = 0
) -> Iterator[tuple[float, int, str]]:
    """Size, depth of embedding and letters of what a page, or a form within it, shows.

    `placed` is the matrix from its coordinates to those of the paper. A text has the size that its
    font was chosen with, times what the matrices of the text and of the page make of it.
    """
    kept, size, turned = [], 0.0, np.eye(3)
    # A stream is a dictionary too, of which one without entries counts as false.
    for operands, operator in () if content is None else content.operations:
        if operator == b"q":
            kept.append((placed, size))
        elif operator == b"Q":
            placed, size = kept.pop()
        elif operator == b"cm":
            placed = _matrix(operands) @ placed
        elif operator == b"BT":
            turned = np.eye(3)
        elif operator == b"Tm":
            turned = _matrix(operands)
        elif operator == b"Tf":
            size = float(operands[1])
        elif operator in SHOWS:
            upright = (turned @ placed)[1, :2]
            yield size * math.hypot(*upright), depth, _letters(operands)
        elif operator == b"Do":
            form = owner["/Resources"]["/XObject"][operands[0]]
            if form["/Subtype"] == "/Form":
                inside = _matrix(form.get("/Matrix", (1, 0, 0, 1, 0, 0))) @ placed
                yield from _texts(ContentStream(form, None), form, inside, depth + 1)


def _matrix(numbers: Any) -> np.ndarray:
    a, b, c, d, e, f = map(float, numbers)
    return np.array([[a, b, 0], [c, d, 0], [e, f, 1]])


def _letters(operands: Any) -> str:
    """What is shown, as the font counts its letters."""
    parts = operands[-1] if isinstance(operands[-1], list) else operands[-1:]
    return "".join(str(part) for part in parts if isinstance(part, str | bytes))
