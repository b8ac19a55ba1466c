"""What docs/ shows works: the code of every page runs, and every target and path exists."""

import functools
import re

import jax
import pytest

import parallel_rnn
from experiments.problems.argru import ARGRU
from tests.clones import ROOT, snakemake

PAGES = sorted((ROOT / "docs").glob("*.md"))
# What the code of a page leaves behind.
SHAPES = {
    "use": {
        "c": (10_000, 16),
        "gradient": (3, 3),
        "ys": (10_000,),
        "states": (10_000, 32),
    }
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with weights where a run leaves them; advice that takes less time."""
    fresh = tmp_path / "results" / "fresh" / "cpu"
    fresh.mkdir(parents=True)
    ARGRU(key=jax.random.key(0)).save(fresh / "argru_weights.npz")
    monkeypatch.chdir(tmp_path)
    quick = functools.partial(parallel_rnn.advise, pilot=100, seconds=1)
    monkeypatch.setattr(parallel_rnn, "advise", quick)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_blocks_run_one_after_another(project, page):
    text = page.read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, page.name, "exec"), names)
    for name, shape in SHAPES.get(page.stem, {}).items():
        assert names[name].shape == shape, name


def test_every_target_and_path_exists():
    listed = snakemake(ROOT, "--list").stdout
    rules = {line.split()[0] for line in listed.splitlines() if line.strip()}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        targets = re.findall(r"\./run snakemake (?:--cores all )?([a-z]\w+)", text)
        assert set(targets) <= rules, page.name
        for path in re.findall(r"`((?:src|config|experiments|figures)/[\w./-]+)`", text):
            assert path.startswith("figures/out/") or (ROOT / path).exists(), path
