"""Small pictures as SVG, written as text: the same on every machine."""

from html import escape


def picture(width: float, height: float, about: str, shapes: list[str]) -> str:
    """A picture of some shapes, with what it shows for those who cannot see it."""
    inner = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" font-family="sans-serif">\n'
        f"<title>{escape(about)}</title>\n{inner}\n</svg>\n"
    )


def box(x: float, y: float, width: float, height: float, style: str) -> str:
    """A rectangle; `style` holds further attributes, such as `fill="red"`."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {style}/>'


def text(x: float, y: float, words: str, style: str = "") -> str:
    """Words on a line at height y, from x on."""
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def path(steps: str, style: str) -> str:
    """Lines and curves, in SVG's own words."""
    return f'<path d="{steps}" fill="none" {style}/>'
