"""The guides of CONTRIBUTING, followed to the letter: what is new is everywhere."""

import shutil
import subprocess
import sys

import pytest
from pypdf import PdfReader

from tests.clones import environment, git, run_smoke, snakemake

EXPERIMENT = """\
\"\"\"Squares of some numbers.\"\"\"

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from experiments.harness.command_line import experiment_parser, read_settings
from experiments.harness.records import RunRecord, write_results

EXPERIMENT = "mine"


@dataclass(frozen=True)
class Settings:
    numbers: tuple[int, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = experiment_parser(EXPERIMENT, EXPERIMENT)
    settings, options = read_settings(Settings, parser, EXPERIMENT, arguments)
    record = RunRecord(EXPERIMENT, asdict(settings), [])
    table = pd.DataFrame({"number": settings.numbers})
    write_results(options.output, table.assign(square=table["number"] ** 2), record.complete())


if __name__ == "__main__":
    main()
"""
SECTION = """\
  mine:
    description: Squares.
    type: object
    additionalProperties: false
    default: {}
    properties:
      numbers:
        description: What is squared.
        unit: numbers
        $ref: "#/$defs/sizes"
        default: [1, 2, 3]
$defs:
"""
SCRIPT = """\
# %% [markdown]
# # Squares

# %%
import matplotlib.pyplot as plt

import results
import style

# %%
style.apply()
found = results.load(globals(), "mine")
figure, axes = plt.subplots(layout="constrained")
axes.plot(found.table["number"], found.table["square"])
style.footer(figure, results.provenance(found.records))
if "snakemake" in globals():
    style.save(figure, globals()["snakemake"].output)
else:
    style.finish(figure, found.figure_paths("mine", style.FORMATS))
"""
METHOD = """\
\"\"\"Half of the diagonal of the Jacobian.\"\"\"

from parallel_rnn import Diagonal, ScaleELK


def half_deer(**tolerance):
    \"\"\"Quasi-DEER with half of the diagonal.\"\"\"
    return ScaleELK(0.5, transition=Diagonal(), **tolerance)
"""
ENTRIES = {
    "EXPERIMENTS = (\n": 'Experiment("mine", "What numbers are when they are squared."),',
    "FIGURES = (\n": 'Figure("mine", "mine", "Squares", "Squares against numbers."),',
    "TABLES = (\n": 'Table("mine", "mine", "Squares", "All squares.", module="plain"),',
}


@pytest.fixture(scope="module")
def grown(finished, tmp_path_factory):
    """A complete run, complete again after an experiment and a method were added."""
    folder = tmp_path_factory.mktemp("grown") / "clone"
    shutil.copytree(finished, folder, symlinks=True)
    catalogue = folder / "experiments" / "catalogue.py"
    (folder / "experiments" / "mine.py").write_text(EXPERIMENT)
    replace(folder / "config" / "schema.yaml", "$defs:\n", SECTION)
    for opening, entry in ENTRIES.items():
        replace(catalogue, opening, f"{opening}    {entry}\n")
    (folder / "figures" / "mine.py").write_text(SCRIPT)
    (folder / "figures" / "captions" / "mine.rst").write_text("Squares.\n")

    (folder / "src" / "parallel_rnn" / "_solvers" / "half.py").write_text(METHOD)
    made_by = "parallel_rnn._solvers.half:half_deer"
    entry = f'Method("half_deer", "half-DEER", UNDAMPED, "{made_by}"),'
    opening = "REGISTERED = (\n"
    replace(folder / "experiments/harness/methods.py", opening, f"{opening}    {entry}\n")
    selected = "methods: [sequential, unrolled, deer, quasi_deer, chunks"
    replace(folder / "config" / "scale_smoke.yaml", selected, f"{selected}, half_deer")
    run(folder, "experiments.reporting.config_docs")
    return folder, run_smoke(folder)


def run(folder, *words):
    """A module of the clone, in its folder."""
    command = [sys.executable, "-m", *words]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True)


def replace(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, (path.name, old)
    path.write_text(text.replace(old, new))


@pytest.mark.slow
def test_as_many_files_are_touched_as_the_guides_say(grown):
    folder, _ = grown
    answer = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    touched = {line[3:] for line in answer.stdout.splitlines()}
    method = {
        "src/parallel_rnn/_solvers/half.py",
        "experiments/harness/methods.py",
        "config/scale_smoke.yaml",
    }
    experiment = {
        "experiments/mine.py",
        "config/schema.yaml",
        "experiments/catalogue.py",
        "figures/mine.py",
        "figures/captions/mine.rst",
    }
    assert touched == method | experiment | {"config/README.md"}  # which a command wrote


@pytest.mark.slow
def test_only_what_selects_the_method_is_measured_again(grown):
    _, output = grown
    started = {line.split()[0] for line in output.splitlines() if line.startswith("measure_")}
    assert started == {"measure_mine", "measure_gru_scaling"}


@pytest.mark.slow
def test_they_are_in_figures_tables_and_the_report(grown):
    folder, _ = grown
    out = folder / "figures" / "out" / "fresh" / "smoke"
    assert "half-DEER" in (out / "gru_scaling_batch1.svg").read_text()
    assert "| half-DEER |" in (out / "scaling_exponents.md").read_text()
    assert (out / "mine.pdf").stat().st_size > 0
    assert "| 3 | 9 |" in (out / "mine.md").read_text()
    text = " ".join(page.extract_text() for page in PdfReader(out / "report.pdf").pages)
    assert "Squares against numbers." in text and "half-DEER" in text


@pytest.mark.slow
def test_they_are_archived_and_drawn_from_the_archive(grown):
    folder, _ = grown
    run(folder, *"experiments.reporting.archive promote --scale smoke --label grown".split())
    archive = folder / "results" / "archived" / "grown"
    assert "half_deer" in (archive / "gru_scaling.csv").read_text()
    assert (archive / "mine.csv").exists() and (archive / "mine.json").exists()
    git(folder, "add", "--all")
    archived = ("--config", "source=archived/grown")
    drawn = snakemake(folder, "--cores", "all", "mine", *archived)
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert (folder / "figures" / "out" / "archived" / "grown" / "mine.svg").exists()
