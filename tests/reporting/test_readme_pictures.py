"""The pictures of README.md: they say what results and pyproject say."""

import json
import re
import tomllib
from xml.etree import ElementTree

import pytest

from experiments.reporting import badges, gain, readme
from experiments.reporting.results import Results
from tests.clones import ROOT

HEADER = "batch,dim,length,method,time_s\n"
CPU = {"platform": "cpu", "processor": "Some CPU", "cores": 2}
GPU = {"platform": "gpu", "kind": "Some GPU"}


def times(folder, name, device, **seconds):
    """A source in which each method takes some seconds at two lengths."""
    cells = [
        f"16,64,{length},{method},{length * one}\n"
        for length in (100, 200)
        for method, one in seconds.items()
    ]
    record = {"device": device, "started_utc": "2026-01-01", "commit": None}
    (folder / name).mkdir()
    (folder / name / "gru_scaling.csv").write_text(HEADER + "".join(cells))
    (folder / name / "gru_scaling.json").write_text(json.dumps(record))
    return Results(folder / name)


def words(picture):
    return [one.text for one in ElementTree.fromstring(picture).iter() if one.text]


def test_a_device_has_a_panel_of_what_its_newest_source_measured(tmp_path):
    sources = [
        times(tmp_path, "old", GPU, sequential=8, quasi_deer=4, chunks=2),
        times(tmp_path, "young", GPU, sequential=8, unrolled=4, quasi_deer=1),
        times(tmp_path, "cpu", CPU, sequential=1, quasi_deer=10),
        Results(tmp_path / "nothing"),
    ]
    gpu, cpu = gain.gains(sources)
    assert (gpu.source.name, gpu.length) == (f"{tmp_path.name}/young", 200)
    assert gpu.ratios == pytest.approx({"best_scan": 2, "quasi_deer": 8})
    assert cpu.ratios == pytest.approx({"quasi_deer": 0.1})
    drawn = words(gain.draw([gpu, cpu]))
    assert "Some GPU, T = 200" in drawn and "8 times" in drawn and "0.1 times" in drawn
    assert f"Some GPU: `results/{gpu.source.name}`" in gain.caption([gpu, cpu])


def test_a_bar_ends_at_its_ratio(tmp_path):
    source = times(tmp_path, "one", GPU, sequential=100, quasi_deer=1, chunks=10)
    picture = gain.draw(gain.gains([source]))
    bars = dict(re.findall(r'width="([\d.]+)" height="16" fill="(#\w+)"', picture))
    colours = {colour: float(width) for width, colour in bars.items()}
    assert colours[gain.COLOURS["quasi_deer"]] == pytest.approx(
        2 * colours[gain.COLOURS["chunks"]], rel=1e-3
    )


def test_badges_say_what_pyproject_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    facts = badges.facts(ROOT)
    assert facts["version"] == project["version"] and facts["licence"] == project["license"]
    assert project["requires-python"] == f">={facts['python'].removesuffix('+')}"
    for name, value in facts.items():
        assert words(readme.pictures(ROOT)[f"docs/images/{name}.svg"])[-2:] == [name, value]
