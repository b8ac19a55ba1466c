"""The documentation: it builds without a warning, says all there is, and needs no network."""

import json
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
from experiments.harness.configuration import archives
from experiments.reporting.site import examples, formulas, names, outputs, parts, record, workflow
from parallel_rnn import cells
from tests.clones import ROOT, environment

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
def half(x):
    '''A half.'''
    return x / 2


# %%
import matplotlib.pyplot as plt

from beside import LIMIT

print(half(2) < LIMIT)  # the first line
print("`a` <b>")
plt.plot([1, 2])
plt.gca().set(xlabel="time", ylabel="half\\nof it")
plt.show()

# %% [markdown]
# What comes after it.

# %%
print(half(4))
"""


def build(clone: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        command, cwd=clone, env=environment(clone), capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A repository of one example, which was recorded."""
    root = tmp_path_factory.mktemp("recorded")
    (root / "examples").mkdir()
    (root / "examples" / "one.py").write_text(EXAMPLE)
    (root / "examples" / "beside.py").write_text("LIMIT = 3\n")
    record.keep(root / "examples" / "one.py", commit=None)
    return root


@pytest.fixture
def example(recorded, tmp_path):
    """A copy of the recorded example, to change."""
    return shutil.copytree(recorded, tmp_path / "changed") / "examples" / "one.py"


@pytest.fixture(scope="module")
def pages(gallery, recorded):
    """Every page of the site by its path, and the folder of the site, with one more example."""
    shutil.copytree(recorded, gallery, dirs_exist_ok=True)
    answer = build(gallery)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    site = gallery / "site"
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


@pytest.mark.parametrize("script", examples.scripts(ROOT), ids=lambda script: script.stem)
def test_the_output_of_every_example_is_recorded_from_its_present_code(script):
    assert len(outputs.read(script)["cells"]) == len(outputs.code_cells(script))


def test_records_and_their_pictures_are_all_that_is_kept_of_examples():
    places = [outputs.place(script) for script in examples.scripts(ROOT)]
    cells = [cell for script in examples.scripts(ROOT) for cell in outputs.read(script)["cells"]]
    pictures = {picture["file"] for cell in cells for picture in cell["pictures"]}
    kept = {path.name for path in (ROOT / "docs" / "examples").iterdir()}
    assert kept == {path.name for path in places} | pictures


def test_output_stands_below_the_cell_that_it_is_of(example):
    page = examples.page(example)
    shown = [
        "    ./run python examples/one.py",
        "The output below was recorded on",
        "def half(x):",
        'print("`a` <b>")',
        "```text\nTrue\n`a` <b>\n```",
        "![half of it against time](one-1.png)",
        "What comes after it.",
        "print(half(4))",
        "```text\n2.0\n```",
    ]
    places = [page.index(part) for part in shown]
    assert places == sorted(places)
    assert page.count("```text") == page.count('<div class="output"') == 2
    assert (outputs.place(example).parent / "one-1.png").read_bytes().startswith(b"\x89PNG")


def test_sentences_are_wrapped_and_rows_of_tables_are_not(example):
    sentence, row = "word " * 30, "method  1 s  " * 10
    place = outputs.place(example)
    kept = json.loads(place.read_text())
    kept["cells"][1]["printed"] = [sentence, row]
    place.write_text(json.dumps(kept))
    lines = examples.page(example).splitlines()
    assert row in lines and sentence not in lines
    assert sum(set(line.split()) == {"word"} for line in lines) == 2


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("one.py", "half(4)", "half(5)"),
        ("one.py", "print(half(2)", "# %%\nprint(half(2)"),
        ("beside.py", "3", "4"),
    ],
    ids=["code", "cells", "what it imports"],
)
def test_a_record_of_other_code_is_refused_with_the_command_that_renews_it(example, file, old, new):
    changed = example.with_name(file)
    changed.write_text(changed.read_text().replace(old, new))
    with pytest.raises(outputs.RecordError, match=r"`\./run python -m \S+\.record one`\.$"):
        examples.page(example)


def test_text_and_comments_may_change_and_a_missing_record_is_told(example):
    text = example.read_text().replace("A half", "One of two").replace("# the first line", "")
    example.write_text(text.replace("What comes", "All that comes"))
    assert "All that comes after it." in examples.page(example)
    outputs.place(example).unlink()
    with pytest.raises(outputs.RecordError, match=r"examples/one\.py .* not recorded: .* one`\.$"):
        examples.page(example)


def test_a_script_that_ends_early_or_is_not_there_is_not_recorded(example):
    example.write_text(example.read_text().replace("print(half(2)", "raise SystemExit #"))
    before = outputs.place(example).read_text()
    with pytest.raises(outputs.RecordError, match=r"^one\.py, code cell 2, ends the script"):
        record.keep(example, commit=None)
    assert outputs.place(example).read_text() == before
    with pytest.raises(outputs.RecordError, match="no example 'two': there are one"):
        record.chosen(example.parents[1], ["two"])


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
    pictures = site.glob("drawn/*/gru_scaling_batch16.png")
    assert {path.parent.name for path in pictures} == {*archives(ROOT)}


@pytest.mark.slow
def test_an_example_is_a_page(pages):
    site, _ = pages
    text = (site / "examples" / "one.html").read_text(encoding="utf-8")
    assert "What it is." in text and "./run python examples/one.py" in text
    assert '<span class="nb">print</span>' in text
    assert 'class="output"' in text and "`a` &lt;b&gt;" in text and "```" not in text
    assert (site / "examples" / "one-1.png").exists()
    assert not [*site.glob("examples/*.json")]
    assert '<a href="examples/one.html">One example</a>' in (site / "examples.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_page_without_a_way_to_it_and_a_dead_link_end_the_build(gallery):
    lost = gallery / "docs" / "lost.md"
    lost.write_text("# Lost\n\n[nowhere](nowhere.md), [no such place](right.md#nowhere)\n")
    answer = build(gallery)
    lost.unlink()
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0
    assert "- lost.md" in said and "'nowhere.md'" in said and "'#nowhere'" in said
