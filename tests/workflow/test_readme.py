"""What the README shows works: its code runs, and every target that it names exists."""

import re

from tests.clones import ROOT, snakemake

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_one_after_another():
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["solution"].value.shape == (10_000, 32)
    assert names["gradient"].shape == (3, 3)
    assert names["ys"].shape == (10_000,)
    assert names["batch"].value.shape == (4, 1000, 32)


def test_every_target_exists():
    listed = snakemake(ROOT, "--list").stdout
    rules = {line.split()[0] for line in listed.splitlines() if line.strip()}
    in_table = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    in_commands = re.findall(r"\./run snakemake ([a-z]\w+)", README)
    assert in_table
    assert in_commands
    assert set(in_table + in_commands) <= rules


def test_every_path_exists():
    for path in re.findall(r"`((?:src|config|profiles|experiments|figures)/[\w./-]+)`", README):
        if not path.startswith("figures/out/"):
            assert (ROOT / path).exists(), path


def test_every_archive_exists():
    labels = re.findall(r"source=archived/([\w.-]+)", README)
    assert labels
    for label in labels:
        assert (ROOT / "results" / "archived" / label / "provenance.json").exists()
