"""Archives of results that came from elsewhere: what is taken, joined, added and refused."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from experiments.reporting import archive
from experiments.reporting.archive import ArchiveError
from experiments.reporting.results import Results, name_commit

ROOT = Path(__file__).resolve().parents[2]
RAN_AT = {"id": "0123456789abcdef", "changed_files": False}


@pytest.fixture
def root(tmp_path):
    """A repository without archives."""
    (tmp_path / "repository" / "results").mkdir(parents=True)
    return tmp_path / "repository"


def write(path: Path, rows: dict, commit: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    record = {"device": {}, "configuration": {}, "versions": {"jax": "1.2.3"}, "commit": commit}
    path.with_suffix(".json").write_text(json.dumps(record))


@pytest.fixture
def brought(tmp_path):
    """A folder from a machine without .git: a whole experiment, curves, and something else."""
    folder = tmp_path / "brought"
    write(folder / "wide.csv", {"dim": [2]})
    for dim in (8, 64):
        write(folder / "gru_scaling" / f"batch1_dim{dim}.csv", {"dim": [dim], "time_s": [0.5]})
    write(folder / "training" / "deer.csv", {"variant": ["deer"]})
    (folder / "training" / "deer_epochs.csv").write_text("variant,epoch\ndeer,1\n")
    (folder / "sketch.json").write_text("{}")
    return folder


def head() -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def test_what_a_folder_has_is_archived_with_its_curves_joined(root, brought):
    made = archive.adopt(root, brought, "gpu", commit=head()[:10])
    assert {path.name for path in made.glob("*.csv")} == {
        "wide.csv",
        "gru_scaling.csv",
        "training.csv",
        "training_epochs.csv",
    }
    assert list(pd.read_csv(made / "gru_scaling.csv")["dim"]) == [8, 64]
    assert len(json.loads((made / "gru_scaling.json").read_text())) == 2
    assert not (made / "sketch.json").exists()
    assert archive.verify(made) == []


def test_a_commit_that_records_lack_is_added_to_the_provenance_only(root, brought):
    made = archive.adopt(root, brought, "gpu", commit=head()[:10])
    provenance = json.loads((made / archive.PROVENANCE).read_text())
    assert provenance["measured_at_commits"] == [{"id": head(), "added_by_hand": True}]
    assert provenance["versions"] == [{"jax": "1.2.3"}]
    assert json.loads((made / "wide.json").read_text())["commit"] is None
    (record,) = Results(made).records("wide")
    assert name_commit(record["commit"]) == f"{head()[:9]} (added by hand)"


def test_a_commit_is_asked_for_where_records_lack_it_and_only_there(root, brought, tmp_path):
    with pytest.raises(ArchiveError, match="say with --commit at which one"):
        archive.adopt(root, brought, "gpu")
    with pytest.raises(ArchiveError, match="no commit 'never'"):
        archive.adopt(root, brought, "gpu", commit="never")
    write(tmp_path / "known" / "wide.csv", {"dim": [2]}, RAN_AT)
    with pytest.raises(ArchiveError, match="records name their commit"):
        archive.adopt(root, tmp_path / "known", "gpu", commit=head())
    assert not list(root.glob("results/*"))
    made = archive.adopt(root, tmp_path / "known", "gpu")
    assert json.loads((made / archive.PROVENANCE).read_text())["measured_at_commits"] == [RAN_AT]


def test_results_that_are_not_whole_are_refused(root, brought, tmp_path):
    (brought / "chaos.csv").write_text("dim\n1\n")
    with pytest.raises(ArchiveError, match=r"has chaos\.csv without chaos\.json: bring"):
        archive.adopt(root, brought, "gpu", commit=head())
    with pytest.raises(ArchiveError, match="no results of an experiment that is asked for"):
        archive.adopt(root, tmp_path, "gpu", commit=head())
    with pytest.raises(ArchiveError, match="'wie' is no experiment"):
        archive.adopt(root, brought, "gpu", experiments=["wie"])
    archive.adopt(root, brought, "gpu", head(), ["wide"])
    with pytest.raises(ArchiveError, match="archived/gpu exists and is never overwritten"):
        archive.adopt(root, brought, "gpu", head(), ["wide"])


def test_the_fullest_archive_is_the_newest_of_those_with_most_experiments(root, brought):
    assert archive.fullest(root) is None
    for label, kept in (("all", archive.NAMES), ("one", ["wide"])):
        archive.adopt(root, brought, label, head(), kept)
    assert archive.fullest(root) == root / "results" / "archived" / "all"
