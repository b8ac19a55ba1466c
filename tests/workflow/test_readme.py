"""What the README shows works: its code runs, and every target that it names exists."""

import re

import jax.numpy as jnp

from tests.clones import ROOT, snakemake

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs():
    [block] = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["solution"].value.shape == names["states"].shape == (100_000, 32)
    assert jnp.all(jnp.abs(names["solution"].value - names["states"]) < 1e-5)


def test_every_target_exists():
    listed = snakemake(ROOT, "--list").stdout
    rules = {line.split()[0] for line in listed.splitlines() if line.strip()}
    in_commands = re.findall(r"\./run snakemake ([a-z]\w+)", README)
    assert in_commands
    assert set(in_commands) <= rules


def test_every_path_exists():
    paths = re.findall(r"`((?:src|config|profiles|experiments|figures)/[\w./-]+)`", README)
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert {"CONTRIBUTING.md", "docs/use.md", "docs/images/gain.svg"} <= {*links}
    for path in [*paths, *links]:
        if not path.startswith("figures/out"):
            assert (ROOT / path).exists(), path


def test_every_archive_exists():
    labels = re.findall(r"source=archived/([\w.-]+)", README)
    assert labels
    for label in labels:
        assert (ROOT / "results" / "archived" / label / "provenance.json").exists()
