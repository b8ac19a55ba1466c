"""Clones in which the tests of the workflow run the real Snakemake, each made once."""

import os
import shutil
import time
from pathlib import Path

import pytest

from experiments.reporting import archive
from tests.clones import ROOT, git, listed_files, make_clone, run_smoke

# What an archive of some experiments holds.
PART = ("wide", "argru", "gru_accuracy")


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """A repository whose only commit is the working tree as it is now."""
    folder = tmp_path_factory.mktemp("origin")
    for name in listed_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "the working tree")
    return folder


@pytest.fixture(scope="session")
def clone(origin, tmp_path_factory):
    """A clone for tests that run nothing in it."""
    return make_clone(origin, tmp_path_factory.mktemp("plain") / "clone")


@pytest.fixture(scope="session")
def gallery(origin, tmp_path_factory):
    """A clone in which committed archives are drawn: for the report's tests and the site."""
    folder = make_clone(origin, tmp_path_factory.mktemp("gallery") / "clone")
    touch_everything_but_results(folder)
    return folder


@pytest.fixture(scope="session")
def finished(origin, tmp_path_factory):
    """A clone in which everything was made at scale smoke, from scratch."""
    folder = make_clone(origin, tmp_path_factory.mktemp("finished") / "clone")
    run_smoke(folder)
    return folder


@pytest.fixture(scope="session")
def archived(finished, tmp_path_factory):
    """A clone of a repository to which archives of scale smoke were committed."""
    keeper = tmp_path_factory.mktemp("archived") / "keeper"
    git(finished, "clone", "--quiet", ".", str(keeper))
    shutil.copytree(finished / "results" / "fresh", keeper / "results" / "fresh")
    # One experiment comes from the run of another scale.
    fresh = keeper / "results" / "fresh"
    (fresh / "other").mkdir()
    for suffix in (".csv", ".json"):
        (fresh / "smoke" / f"gpu_memory{suffix}").rename(fresh / "other" / f"gpu_memory{suffix}")
    archive.promote(keeper, "smoke", "tiny", {"gpu_memory": "other"})
    archive.promote(keeper, "smoke", "part", experiments=PART)
    git(keeper, "add", "--all")
    git(keeper, "commit", "--quiet", "--message", "archives")
    folder = make_clone(keeper, keeper.with_name("clone"))
    touch_everything_but_results(folder)
    return folder


def touch_everything_but_results(clone: Path) -> None:
    """Whatever is newer than a result must start no experiment."""
    later = time.time() + 1
    for path in clone.rglob("*"):
        inside = path.relative_to(clone).parts
        if path.is_file() and inside[0] not in (".git", "results"):
            os.utime(path, (later, later))
