"""Says what a page would load from elsewhere: the HTML report has to open without a network."""

import re
from html.parser import HTMLParser

# Elements that load what an attribute names; a link that a reader clicks on loads nothing.
LOADING = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
STYLES = r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)"
SCRIPTS = r"\b(?:fetch|import|importScripts)\s*\(\s*[\"'`]((?:https?:)?//[^\"'`]+)"


class _Page(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        address = dict(attrs).get(LOADING.get(tag, "")) or ""
        if re.match(r"(?:https?:)?//", address):
            self.found.append(address)

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        pattern = {"style": STYLES, "script": SCRIPTS}.get(self._within)
        if pattern is not None:
            self.found += re.findall(pattern, data)


def remote_addresses(page: str) -> list[str]:
    """The addresses that a page in HTML would load."""
    parser = _Page()
    parser.feed(page)
    parser.close()
    return parser.found
