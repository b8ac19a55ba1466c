"""The figure scripts run without the pipeline too, and a method looks the same everywhere."""

import json
import shutil
from pathlib import Path

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.markers import MarkerStyle

from experiments import gru_accuracy, gru_scaling
from experiments.catalogue import SHARED_SCRIPTS
from experiments.harness.methods import LABELS
from tests.figure_scripts import draw

ROOT = Path(__file__).resolve().parents[2]
FIGURES = sorted({path.stem for path in ROOT.glob("figures/*.py")} - SHARED_SCRIPTS)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with small results, some cells out of memory."""
    folder = tmp_path_factory.mktemp("project")
    fresh = folder / "results" / "fresh" / "test"
    common = ["--batch", "2", "--dim", "2", "--lengths", "10", "30", "--seeds", "2"]
    gru_scaling.main([*common, "--output", str(fresh / "gru_scaling.csv")])
    crowded = pd.read_csv(fresh / "gru_scaling.csv")
    cut = (crowded.method == "deer") & (crowded.length == 30)
    crowded.loc[cut, ["seed", "repetition", "time_s", "num_steps"]] = np.nan
    crowded.loc[cut, "status"] = "out of memory"
    crowded.to_csv(fresh / "gru_scaling.csv", index=False)
    sizes = ["--dim", "2", "--length", "60", "--shown", "20"]
    gru_accuracy.main([*sizes, "--output", str(fresh / "gru_accuracy.csv")])
    return fresh


@pytest.mark.parametrize(
    ("name", "stem", "words"),
    [
        ("gru_scaling", "gru_scaling_batch2", ("out of memory", "quasi-DEER", "batch 2")),
        ("gru_accuracy", "gru_accuracy", ("N(0, 1) inputs, T = 60", "smart-watch recording")),
    ],
)
def test_scripts_draw_alone(project, name, stem, words):
    files = draw(name, project)
    assert set(files) == {f"{stem}{ending}" for ending in (".pdf", ".svg", ".png")}
    text = files[f"{stem}.svg"].decode()
    assert all(word in text for word in words)
    assert b"/FontFile2" in files[f"{stem}.pdf"]  # an embedded TrueType font
    assert draw(name, project) == files  # no dates, no random names


HOSTILE = """\
backend: TkAgg
text.usetex: True
font.family: cursive
font.size: 31
mathtext.fontset: cm
svg.fonttype: path
figure.facecolor: black
lines.linestyle: none
axes.prop_cycle: cycler(color=["white"])
axes.xmargin: 3
savefig.bbox: tight
savefig.format: ps
path.sketch: 5, 50, 20
"""


def test_settings_of_the_user_change_no_figure(project, tmp_path):
    plain = draw("gru_accuracy", project)
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    # Without a screen TkAgg cannot be used.
    blank = dict.fromkeys(("MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY"), "")
    shutil.rmtree(project.parents[2] / "figures" / "out")
    files = draw("gru_accuracy", project, {**blank, "MATPLOTLIBRC": str(tmp_path)})
    assert files == plain


@pytest.mark.parametrize("name", FIGURES)
def test_scripts_open_as_notebooks(tmp_path, name):
    jupytext = pytest.importorskip("jupytext")
    notebook = jupytext.read(ROOT / "figures" / f"{name}.py")
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown" and kinds.count("code") >= 3


def test_methods_look_different_from_each_other(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "figures")
    import style

    assert set(LABELS) == set(style.METHODS)
    looks = list(style.METHODS.values())
    for part in ("label", "colour", "marker", "line"):
        assert len({getattr(look, part) for look in looks}) == len(looks), part
    # So many greys cannot all be far apart. Those of the scaling figures are.
    weights = np.array([0.2126, 0.7152, 0.0722])
    colours = (style.METHODS[name].colour for name in ("sequential", "deer", "quasi_deer"))
    grey = sorted(weights @ matplotlib.colors.to_rgb(colour) for colour in colours)
    assert min(np.diff(grey)) > 0.15


def test_markers_are_seen_without_an_edge(monkeypatch):
    """Those of methods to come too."""
    monkeypatch.syspath_prepend(ROOT / "figures")
    import style

    markers = [look.marker for look in style.METHODS.values()]
    spare = [marker for _, marker, _ in style.SPARE]
    assert all(MarkerStyle(marker).is_filled() for marker in markers + spare)


def test_newest_results_win(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "figures")
    import results

    with pytest.raises(FileNotFoundError, match="no results of gru_scaling under"):
        results.newest(tmp_path, "gru_scaling")
    for place, started in (("archived/old", "2026-01-01"), ("fresh/cpu", "2025-01-01")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "gru_scaling.csv").write_text("dim\n1\n")
        record = [{"started_utc": f"{started}T00:00:00+00:00"}]
        (tmp_path / place / "gru_scaling.json").write_text(json.dumps(record))
    newest = results.newest(tmp_path, "gru_scaling")
    assert newest.folder == tmp_path / "archived" / "old"
    assert newest.name == "archived/old"
