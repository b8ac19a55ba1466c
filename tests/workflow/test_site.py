"""The documentation: it builds without a warning, says all there is, and needs no network."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

import parallel_rnn
from experiments.catalogue import EXPERIMENTS, FIGURES, TABLES, targets
from experiments.reporting.site import formulas, names, parts, workflow
from parallel_rnn import cells
from tests.clones import ROOT, environment, make_clone

PUBLIC = names.public(ROOT)
REFERENCE = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/api/*.md"))
# What loads as soon as a page is opened: these tags with these attributes.
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


class Page(HTMLParser):
    """The anchors of a page, the pages that it links to and the files that it loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif (tag, name) in LOADED and value:
                self.loads.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)


EXAMPLE = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One example
#
# What it is.

# %%
print(1 < 2)
"""


def build(clone: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        command, cwd=clone, env=environment(clone), capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def clone(origin, tmp_path_factory):
    """A clone with the smallest archive only, so that little has to be drawn."""
    folder = make_clone(origin, tmp_path_factory.mktemp("site") / "clone")
    archives = sorted(
        (folder / "results" / "archived").iterdir(), key=lambda one: len([*one.iterdir()])
    )
    for other in archives[1:]:
        shutil.rmtree(other)
    (folder / "examples").mkdir(exist_ok=True)
    (folder / "examples" / "one.py").write_text(EXAMPLE)
    return folder


@pytest.fixture(scope="module")
def pages(clone):
    """Every page of the site by its path, and the folder of the site."""
    answer = build(clone)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    site = clone / "site"
    return site, {path.resolve(): Page(path) for path in site.rglob("*.html")}


def test_every_public_name_is_described_once():
    described = re.findall(r"^::: ([\w.]+)$", REFERENCE, re.MULTILINE)
    assert sorted(described) == sorted([*PUBLIC.values(), "parallel_rnn.cells"])


@pytest.mark.parametrize("module", [parallel_rnn, cells], ids=lambda module: module.__name__)
def test_public_names_are_those_of_the_package(module):
    there = {
        f"{module.__name__}.{name}"
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("parallel_rnn")
    }
    named = {full for full in PUBLIC.values() if full.rpartition(".")[0] == module.__name__}
    assert there - {"parallel_rnn.warn_renamed"} == named


def test_a_formula_becomes_mathml():
    html = formulas.shown(r'<span class="arithmatex">\(s_t &lt; \lambda\)</span> and')
    assert "<msub>" in html and "λ" in html.replace("&#x003BB;", "λ") and html.endswith(" and")
    assert 'display="block"' in formulas.shown(r'<div class="arithmatex">\[x\]</div>')


def test_a_name_in_running_text_is_a_link_and_no_other():
    known = {"DEER": "parallel_rnn.DEER"}
    linked = '<autoref identifier="parallel_rnn.DEER"><code>DEER(rtol=0)</code></autoref>'
    assert names.linked("<p><code>DEER(rtol=0)</code></p>", known) == f"<p>{linked}</p>"
    for html in (
        "<h2><code>DEER</code></h2>",
        "<a href='x'><code>DEER</code></a>",
        "<code>PEER</code>",
        "<pre><code>DEER</code></pre>",
    ):
        assert names.linked(html, known) == html


RULES = """\
digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
    0[label = "all", color = "0.1 0.6 0.85", style="rounded"];
    1[label = "draw_a", color = "0.2 0.6 0.85", style="rounded"];
    2[label = "measure_a", color = "0.3 0.6 0.85", style="rounded"];
    3[label = "measure_b", color = "0.4 0.6 0.85", style="rounded"];
    1 -> 0
    2 -> 0
    3 -> 0
    2 -> 1
}
"""


def test_rules_stand_in_columns_behind_what_they_read():
    graph = workflow.reduced(workflow.rules(RULES))
    assert graph == {
        "all": {"draw_a", "measure_b"},
        "draw_a": {"measure_a"},
        "measure_a": set(),
        "measure_b": set(),
    }
    assert workflow.columns(graph) == [["measure_a"], ["draw_a", "measure_b"], ["all"]]


def test_a_part_stands_where_a_page_asks_for_it_and_an_unknown_one_is_refused():
    assert parts.filled("x.md", "a\n<!-- here: one -->\nb", {"one": "1"}) == "a\n1\nb"
    with pytest.raises(parts.PartError, match=r"docs/x.md asks for the part 'two': there are one"):
        parts.filled("x.md", "<!-- here: two -->", {"one": "1"})


@pytest.mark.slow
def test_there_is_a_way_to_every_page_and_every_link_leads_somewhere(pages):
    site, found = pages
    start = (site / "index.html").resolve()
    reached, waiting = {start}, [start]
    while waiting:
        path = waiting.pop()
        for link in found[path].links:
            target, anchor = urldefrag(link)
            if "://" in target:
                continue
            there = (path.parent / unquote(target)).resolve() if target else path
            assert there.exists(), (path.name, link)
            if there in found:
                assert not anchor or unquote(anchor) in found[there].anchors, (path.name, link)
                if there not in reached:
                    reached.add(there)
                    waiting.append(there)
    assert found.keys() - reached == {(site / "404.html").resolve()}


@pytest.mark.slow
def test_nothing_is_loaded_from_a_network(pages):
    site, found = pages
    for path, page in found.items():
        for link in page.loads:
            assert "://" not in link and not link.startswith("//"), (path.name, link)
            # The page for missing pages knows a server's root only.
            base = site if path.name == "404.html" else path.parent
            assert (base / unquote(link.split("?")[0]).lstrip("/")).exists(), (path.name, link)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet
        )


@pytest.mark.slow
def test_all_that_there_is_has_a_place(pages):
    site, found = pages
    anchors = {anchor for page in found.values() for anchor in page.anchors}
    assert set(PUBLIC.values()) <= anchors
    shown = found[(site / "reproduce.html").resolve()].anchors
    assert {one.name for one in (*FIGURES, *TABLES) if one.experiment} <= shown
    drawn = (site / "workflow.html").read_text(encoding="utf-8")
    assert all(f">measure_{one.name}</text>" in drawn for one in EXPERIMENTS)
    text = (site / "reproduce.html").read_text(encoding="utf-8")
    assert all(f"<code>{target}</code>" in text for target in targets())
    assert [*site.glob("drawn/*/gru_scaling_batch16.png")]


@pytest.mark.slow
def test_an_example_is_a_page(pages):
    site, _ = pages
    text = (site / "examples" / "one.html").read_text(encoding="utf-8")
    assert "What it is." in text and "./run python examples/one.py" in text
    assert '<span class="nb">print</span>' in text
    assert '<a href="examples/one.html">One example</a>' in (site / "examples.html").read_text()


@pytest.mark.slow
def test_a_page_without_a_way_to_it_and_a_dead_link_end_the_build(clone, pages):
    lost = clone / "docs" / "lost.md"
    lost.write_text("# Lost\n\n[nowhere](nowhere.md), [no such place](right.md#nowhere)\n")
    answer = build(clone)
    lost.unlink()
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0
    assert "- lost.md" in said and "'nowhere.md'" in said and "'#nowhere'" in said
