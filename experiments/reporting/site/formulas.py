"""Formulas as MathML, which browsers show without a script or a font from a network."""

import re
from html import unescape

from latex2mathml.converter import convert

# What the extension pymdownx.arithmatex leaves of $...$ and of $$...$$.
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>',
    re.DOTALL,
)


def shown(html: str) -> str:
    """The page with its formulas as MathML."""

    def formula(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        mathml = convert(unescape(found[2]).strip(), display=display)
        return f'<div class="formula">{mathml}</div>' if display == "block" else mathml

    return _FORMULA.sub(formula, html)
