"""A packed repository: what is in it, and its commands run where there is nothing else."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments.harness.records import describe_commit
from experiments.lent import pack
from experiments.lent.commands import script
from tests.clones import ROOT

ORDER = ["wide", "gru_scaling/batch16", "gradients"]


def configuration(folder: Path) -> Path:
    """A configuration for three experiments, of which the last cannot succeed."""
    values = {
        "wide": {"methods": ["sequential"]},
        "gru_scaling": {"methods": ["sequential"]},
        "training": {"batch_size": 10**6},
        "lent": {"order": ORDER},
    }
    path = folder / "given.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def lent(tmp_path_factory):
    """A folder with a packed repository, and nothing that leads to this one."""
    folder = tmp_path_factory.mktemp("lent")
    text = script("smoke", pack.COMMANDS, configuration(tmp_path_factory.mktemp("given")))
    pack.pack(folder / "lent.tar.gz", text, [], "3.12", "manylinux_2_28_x86_64")
    with tarfile.open(folder / "lent.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    (folder / pack.FOLDER / pack.PACKAGES / "snakemake.py").write_text("raise ImportError\n")
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


def test_it_has_the_working_tree_and_the_commit(lent):
    packed = lent / pack.FOLDER
    names = pack.working_tree()
    assert {"Snakefile", "paper/claims.yaml", "config/scale_gpu.yaml"} <= {*names}
    assert all((packed / name).read_bytes() == (ROOT / name).read_bytes() for name in names)
    assert json.loads((packed / "commit.json").read_text()) == describe_commit()
    assert not (packed / ".git").exists()


@pytest.mark.slow
def test_its_commands_run_without_git_and_snakemake(lent):
    def run():
        given = {"PATH": f"{lent / 'bin'}:/usr/bin:/bin", "HOME": str(lent)}
        words = ["sh", f"{pack.FOLDER}/{pack.COMMANDS}", "300", "out/results.tar.gz"]
        return subprocess.run(words, cwd=lent, env=given, capture_output=True, text=True)

    answer = run()
    logs = [path.read_text() for path in (lent / pack.FOLDER / "logs").rglob("*.log")]
    words = [line.split()[0] for line in answer.stdout.splitlines()]
    assert words == ["done", "done", "failed", "done"], (answer, logs)
    assert answer.returncode == 1
    again = [line.split()[0] for line in run().stdout.splitlines()]
    assert again == ["there:", "there:", "failed", "done"]

    with tarfile.open(lent / "out" / "results.tar.gz") as archive:
        archive.extractall(lent / "home", filter="data")
    fresh = lent / "home" / "results" / "fresh" / "smoke"
    for name in ("wide", "gru_scaling"):
        assert len(pd.read_csv(fresh / f"{name}.csv")) > 0
        records = json.loads((fresh / f"{name}.json").read_text())
        for record in records if isinstance(records, list) else [records]:
            assert record["commit"] == describe_commit()
            assert record["versions"]["parallel_rnn"] != "not installed"
    assert set(pd.read_csv(fresh / "gru_scaling.csv").batch) == {16}


def test_a_package_brings_what_it_needs_but_what_is_there():
    found = pack.with_needs(["jsonschema", "seglearn"], without=["Attrs"])
    assert {"jsonschema", "referencing", "rpds-py", "seglearn"} <= {*found}
    assert not {"attrs", "scikit-learn"} & {*found}


def test_the_pipeline_s_needs_have_snakemake_and_what_it_imports():
    found = pack.with_needs(pack.pipeline(), without=["jax", "jaxlib"])
    assert {"snakemake", "pulp", "psutil", "tqdm", "diffrax"} <= {*found}
    assert not {"jax", "jaxlib", "pytest"} & {*found}


def test_an_unknown_package_is_one_sentence():
    with pytest.raises(pack.PackError, match=r"requirements.lock has no package snakmake: name"):
        pack.with_needs(["snakmake"], without=[])


def test_wheels_for_an_older_glibc_are_taken_too():
    found = pack.platforms("manylinux_2_17_aarch64")
    assert found[:3] == [
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
        "manylinux_2_16_aarch64",
    ]
    assert pack.platforms("macosx_14_0_arm64") == ["macosx_14_0_arm64"]


def test_pins_are_those_of_the_machine_s_python():
    blocks = [
        "one==1 ; python_full_version < '3.12' \\\n    --hash=sha256:a",
        "one==2 ; python_full_version >= '3.12' \\\n    --hash=sha256:b",
        "two==3 \\\n    --hash=sha256:c",
    ]
    assert [*pack.for_python(blocks, "3.11")] == [
        "one==1 \\\n    --hash=sha256:a",
        "two==3 \\\n    --hash=sha256:c",
    ]
    assert next(pack.for_python(blocks, "3.13")).startswith("one==2 ")
