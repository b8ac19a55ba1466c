"""The pipeline as a user meets it: on a real clone of the working tree, with real Snakemake."""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from pypdf import PdfReader

from experiments import catalogue
from experiments.harness.configuration import archives
from experiments.reporting import archive
from experiments.reporting.offline import remote_addresses
from tests.clones import (
    ROOT,
    command,
    environment,
    make_clone,
    run_smoke,
    snakemake,
)
from tests.printed import printed

LABELS = [*archives(ROOT), "tiny"]
EXPERIMENT_RULES = ("measure_", "collect_", "install_")
REPORT = ["numbers.json", "report.pdf"]
PAGES = range(6, 17)
# What can still be read on paper.
SMALLEST_PT = 6
SECOND_CURVE_AFTER_S = 120


def test_every_target_has_a_description(clone):
    lines = snakemake(clone, "--list").stdout.splitlines()
    described = {line.partition(" (")[0] for line in lines if line.endswith(")")}
    assert described >= {"all", "figures", "tables", "report", *catalogue.targets()}
    assert len(described) == len([line for line in lines if line.strip()])


@pytest.mark.parametrize(
    "given, named",
    [
        (["--config", "scael=cpu"], "the key scael is unknown"),
        (["--config", "gru_scaling={sedes: 3}"], "gru_scaling.sedes is unknown"),
        (["--config", "gru_scaling={seeds: many}"], "gru_scaling.seeds is 'many'"),
        (["--config", "scale=huge"], "there is no scale 'huge'"),
        (["--config", "source=archived/none"], "the source 'archived/none'"),
        (["--config", "beside=[archived/none]"], "beside names 'archived/none'"),
        (["--config", "without=[gpu]"], "without: 'gpu' is no experiment"),
    ],
)
def test_wrong_configuration_is_one_sentence(clone, given, named):
    answer = snakemake(clone, "-n", *given)
    faults = [line for line in answer.stderr.splitlines() if named in line]
    assert answer.returncode != 0
    assert len(faults) == 1 and faults[0].startswith("Configuration: ")
    assert "Traceback" not in answer.stderr + answer.stdout


@pytest.mark.parametrize(
    "given, named",
    [
        (["gru_scalng"], "the target gru_scalng is unknown (did you mean gru_scaling?); there are"),
        (["wide", "zzz"], "the target zzz is unknown; there are"),
        (["scale=smoke"], "scale=smoke is unknown (settings follow --config); there are"),
        (["--until", "tabels"], "the target tabels is unknown (did you mean tables?)"),
    ],
)
def test_an_unknown_target_is_one_sentence(clone, given, named):
    answer = snakemake(clone, "-n", *given)
    (fault,) = [line for line in answer.stderr.splitlines() if named in line]
    assert answer.returncode != 0
    names = fault.partition("there are ")[2].split(", ")
    assert {"all", "figures", "tables", "report", *catalogue.targets()} == {*names[:-1]}
    assert "Traceback" not in answer.stderr + answer.stdout


def test_a_run_leaves_out_what_it_is_told_to(clone):
    without = ("--config", "without=[gpu_memory]")
    everything, rest = snakemake(clone, "-n").stdout, snakemake(clone, "-n", *without).stdout
    for rule in ("install_gpu_compiler", "measure_gpu_memory", "draw_gpu_memory_batch1"):
        assert rule in everything and rule not in rest
    assert "measure_wide" in rest and "judge_claims" in rest and "compile_report" in rest
    asked_for = snakemake(clone, "-n", "gpu_memory", *without).stdout
    assert "install_gpu_compiler" in asked_for


def test_weights_may_have_a_name_like_that_of_a_target(clone):
    weights = clone / "weights"
    weights.touch()
    answer = snakemake(clone, "-n", "argru", "--config", "argru={weights: weights}")
    weights.unlink()
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_values_reach_an_experiment_whole_whatever_signs_they_have(clone, tmp_path):
    folder, weights, scale = """my $HOME; 'a' "b" {c} *""", "it's; $mine.npz", "my smoke"
    given = tmp_path / "given.yaml"
    given.write_text(json.dumps({"training": {"folder": folder}, "argru": {"weights": weights}}))
    own = [clone / weights, clone / "config" / f"scale_{scale}.yaml"]
    for path in own:
        path.touch()
    plan = ("-n", "-p", "--configfile", str(given))
    answer = snakemake(clone, *plan, "--config", f"scale={scale}")
    for path in own:
        path.unlink()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    commands = {}
    for line in answer.stdout.splitlines():
        if line.startswith("Shell command: python -m experiments."):
            words = shlex.split(line.removeprefix("Shell command: "))
            commands[words[2].removeprefix("experiments.")] = words
    for name, option, value in (
        ("baselines", "--folder", folder),
        ("windows", "--weights", weights),
    ):
        words = commands[name]
        assert words[words.index(option) + 1] == value
        assert words[-5:-1] == [
            "--output",
            f"results/fresh/{scale}/{name}.csv",
            ">",
            f"logs/fresh/{scale}/{name}.log",
        ]


def test_a_module_without_an_entry_is_one_sentence(clone):
    forgotten = clone / "experiments" / "forgotten.py"
    forgotten.touch()
    answer = snakemake(clone, "-n")
    forgotten.unlink()
    assert answer.returncode != 0
    assert "Catalogue: experiments/forgotten.py is in no entry: add" in answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout


def test_a_second_run_at_the_same_time_is_refused(origin, tmp_path):
    folder = make_clone(origin, tmp_path / "clone")
    (folder / ".snakemake").mkdir()
    with (folder / ".snakemake" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = snakemake(folder, "gru_accuracy", "--config", "scale=smoke")
    assert answer.returncode != 0
    assert "Another snakemake is running in this folder" in answer.stderr
    assert not (folder / "results" / "fresh").exists()


def made_from(held: set[str]) -> list[str]:
    """The files that are made from these result tables."""
    kinds = (
        (catalogue.FIGURES, (".pdf", ".svg", ".png")),
        (catalogue.TABLES, (".csv", ".md", ".tex")),
    )
    return [
        f"{one.name}{suffix}"
        for entries, suffixes in kinds
        for one in entries
        for suffix in suffixes
        if not one.experiment or held.issuperset((one.experiment, *one.further))
    ]


@pytest.mark.slow
def test_everything_is_made_and_a_second_call_has_nothing_to_do(finished):
    folder = finished / "figures" / "out" / "fresh" / "smoke"
    held = {path.stem for path in (finished / "results" / "fresh" / "smoke").glob("*.csv")}
    for name in [*made_from(held), *REPORT]:
        assert (folder / name).stat().st_size > 0, name
    assert "Nothing to be done" in run_smoke(finished)


@pytest.mark.slow
@pytest.mark.parametrize("one", catalogue.EXPERIMENTS, ids=lambda one: one.name)
def test_every_experiment_wrote_its_tables_and_a_record(finished, one):
    fresh = finished / "results" / "fresh" / "smoke"
    assert all(len(pd.read_csv(fresh / f"{stem}.csv")) > 0 for stem in one.stems)
    records = json.loads((fresh / f"{one.name}.json").read_text())
    for record in records if isinstance(records, list) else [records]:
        assert record["experiment"] == one.name


@pytest.fixture
def keeper(request, label):
    """The clone that has an archive, in which everything else is newer than its results."""
    return request.getfixturevalue("archived" if label == "tiny" else "gallery")


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_an_archive_is_drawn_without_any_experiment(keeper, label):
    beside = ",".join(f"archived/{one}" for one in archives(ROOT))
    given = ("--config", f"source=archived/{label}", f"beside=[{beside}]")
    drawn = snakemake(keeper, "--cores", "all", *given)
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    folder = keeper / "figures" / "out" / "archived" / label
    held = {path.stem for path in (keeper / "results" / "archived" / label).glob("*.csv")}
    assert all((folder / name).stat().st_size > 0 for name in [*made_from(held), *REPORT])
    assert len(PdfReader(folder / "report.pdf").pages) in PAGES
    labels = [one for one in printed(folder / "report.pdf") if one.in_figure]
    assert labels and [one for one in labels if one.size < SMALLEST_PT] == []

    # All that could ever be planned for it.
    planned = snakemake(keeper, "-n", "--forceall", *given)
    assert planned.returncode == 0 and "draw_gru_scaling" in planned.stdout
    for said in (drawn, planned):
        assert not any(rule in said.stdout + said.stderr for rule in EXPERIMENT_RULES)
    assert not (keeper / "results" / "fresh").exists()


@pytest.mark.slow
def test_an_archive_of_some_experiments_shows_them_and_says_what_it_lacks(archived):
    answer = snakemake(archived, "--cores", "all", "--config", "source=archived/part")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    folder = archived / "figures" / "out" / "archived" / "part"
    drawn = {path.stem for path in folder.glob("*.pdf")} - {"report"}
    assert drawn == {"wide", "argru_convergence", "gru_accuracy"}
    assert {path.stem for path in folder.glob("*.tex")} == {"table_2", "claims", "findings"}
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["chaos.pays"] == "not measured" != numbers["wide.largest"]
    claims = (folder / "claims.md").read_text()
    assert "not measured: no results of lorenz96" in claims
    text = " ".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)
    assert "no results of chaos" in " ".join(text.split())


def test_a_part_of_an_archive_is_drawn_and_what_it_lacks_is_named(origin, tmp_path):
    folder = make_clone(origin, tmp_path / "clone")
    (whole, *_) = archives(ROOT)
    archived = folder / "results" / "archived" / whole
    (archived / "wide.csv").unlink()
    held = {path.stem for path in archived.glob("*.csv")}
    lacking = ", ".join(one.name for one in catalogue.EXPERIMENTS if one.name not in held)
    answer = snakemake(folder, "table_2", "--config", f"source=archived/{whole}")
    (sentence,) = [line for line in answer.stderr.splitlines() if "has no results of" in line]
    assert sentence == (
        f"archived/{whole} has no results of {lacking}: what is made from them is left out."
    )
    assert (folder / "figures" / "out" / "archived" / whole / "table_2.md").exists()


def test_a_changed_archive_beside_makes_the_claims_again(origin, tmp_path):
    folder = make_clone(origin, tmp_path / "clone")
    source, other, *_ = archives(ROOT)
    given = ("claims", "--config", f"source=archived/{source}")
    answer = snakemake(folder, "--cores", "1", *given)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    made = pd.read_csv(folder / "figures" / "out" / "archived" / source / "claims.csv")
    assert {f"verdict (archived/{label})" for label in archives(ROOT)} < set(made.columns)
    assert "Nothing to be done" in snakemake(folder, "-n", *given).stdout
    alone = snakemake(folder, "-n", *given, "beside=[]")
    assert "judge_claims" in alone.stdout
    with (folder / "results" / "archived" / other / "argru.csv").open("a") as table:
        table.write("\n")
    assert "judge_claims" in snakemake(folder, "-n", *given).stdout


@pytest.mark.slow
def test_the_html_report_loads_nothing_from_elsewhere(finished):
    run_smoke(finished, "--report", "report.html")
    assert remote_addresses((finished / "report.html").read_text()) == []
    (finished / "report.html").unlink()


@pytest.mark.slow
def test_provenance_says_where_results_come_from(archived):
    folder = archived / "results" / "archived" / "tiny"
    text = (folder / archive.PROVENANCE).read_text()
    provenance = json.loads(text)
    assert (provenance["scale"], provenance["other_scales"]) == ("smoke", {"gpu_memory": "other"})
    assert all("jax" in versions for versions in provenance["versions"])
    assert provenance["devices"] and provenance["measured_at_commits"]
    needed = {f"{name}{suffix}" for name in archive.NAMES for suffix in (".csv", ".json")}
    beside = {"argru_weights.npz", "argru_mad.csv", "lorenz96_iterates.csv", "training_epochs.csv"}
    assert needed | beside < set(provenance["sha256"])
    assert provenance["configuration"]["gru_accuracy"][0]["length"] == 20
    for private in (str(archived.parent), str(Path.home()), os.uname().nodename):
        assert f'"{private}' not in text


@pytest.mark.parametrize("label", archives(ROOT))
def test_committed_archive_agrees_with_its_checksums(label):
    assert archive.verify(ROOT / "results" / "archived" / label) == []


@pytest.mark.slow
def test_a_changed_missing_or_added_file_is_found(archived, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(archived / "results" / "archived" / "tiny", folder)
    assert archive.verify(folder) == []
    table = folder / "gru_scaling.csv"
    table.write_bytes(table.read_bytes()[:-1] + b" ")
    (folder / "gru_accuracy.csv").unlink()
    (folder / "more.csv").touch()
    assert archive.verify(folder) == [
        "gru_accuracy.csv is missing",
        "more.csv is not in provenance.json",
        "gru_scaling.csv has changed since it was archived",
    ]


@pytest.mark.slow
def test_promotion_refuses_what_is_there_and_what_is_not(archived, finished):
    with pytest.raises(archive.ArchiveError, match=r"archived/tiny exists and is never over"):
        archive.promote(archived, "smoke", "tiny")
    with pytest.raises(archive.ArchiveError, match=r"'\.\./x' cannot name an archive"):
        archive.promote(finished, "smoke", "../x")
    with pytest.raises(archive.ArchiveError, match=r"results/fresh/cpu/gru_scaling\.csv does not"):
        archive.promote(finished, "cpu", "new")
    with pytest.raises(archive.ArchiveError, match="'gpu' is no experiment: use some of gru_scal"):
        archive.promote(finished, "smoke", "new", {"gpu": "paper"})
    with pytest.raises(archive.ArchiveError, match="'wie' is no experiment"):
        archive.promote(finished, "smoke", "new", experiments=["wie"])
    assert not (finished / "results" / "archived" / "new").exists()


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_half_written_and_the_next_call_finishes(origin, tmp_path):
    folder = make_clone(origin, tmp_path / "clone")
    results, logs = (folder / kind / "fresh" / "smoke" for kind in ("results", "logs"))
    with (tmp_path / "first.txt").open("w") as output:
        first = subprocess.Popen(
            command("gru_scaling", "--cores", "all", "--config", "scale=smoke"),
            cwd=folder,
            env=environment(folder),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        wait_for_second_curve(logs / "gru_scaling", first)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()

    kept = complete_curves(results / "gru_scaling")
    assert len(kept) == 1
    assert not (results / "gru_scaling.csv").exists()

    answer = snakemake(folder, "gru_scaling", "--cores", "all", "--config", "scale=smoke")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    curves = complete_curves(results / "gru_scaling")
    assert len(curves) == 3
    assert kept.items() <= curves.items()  # with their times: not measured again
    assert set(pd.read_csv(results / "gru_scaling.csv").dim) == {1, 2}


def wait_for_second_curve(logs: Path, process: subprocess.Popen) -> None:
    """Until a job is done and the next one has worked for a moment."""
    end = time.monotonic() + SECOND_CURVE_AFTER_S
    while len(list(logs.glob("*.log"))) < 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    time.sleep(1.5)
    assert process.poll() is None


def complete_curves(folder: Path) -> dict[str, int]:
    """The curves in a folder and their times of writing; each must be whole, with its record."""
    curves = {}
    for path in folder.glob("*.csv"):
        assert set(pd.read_csv(path).length) == {10, 20}
        assert json.loads(path.with_suffix(".json").read_text())["experiment"] == "gru_scaling"
        curves[path.name] = path.stat().st_mtime_ns
    assert {path.stem for path in folder.glob("*.json")} == {Path(name).stem for name in curves}
    return curves
