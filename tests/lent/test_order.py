"""The order of worth, and the list of commands that follows it."""

import pytest
import yaml

from experiments import catalogue
from experiments.harness.configuration import ConfigurationError, complete, scales
from experiments.lent.commands import Command, by_worth, dry_run, script
from experiments.lent.order import rank
from tests.clones import ROOT

FOLDER = "results/fresh/gpu/"
# One needs a network, the other minutes of training for each of several seeds.
UNSUITED = {"gpu_memory", "argru_seeds"}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("training_step", 0),
        ("grid/batch16_dim8", 1),
        ("grid/batch16", 1),
        ("grid/batch1_dim8", 2),
        ("training/deer", 3),
        ("training", 3),
        ("grid", 4),
        ("other", 4),
    ],
)
def test_what_is_named_first_comes_first(name, place):
    assert rank(["training_step", "grid/batch16", "grid/batch1", "training"], name) == place


def command(output, *needs, joins=False):
    module = "experiments.harness.records" if joins else "experiments.some"
    paths = [f"{FOLDER}{need}" for need in needs]
    words = ("python", "-m", module, *paths, "--output", f"{FOLDER}{output}.csv")
    return Command(" ".join(words), words, words[-1], "some.log")


def ordered(order, *commands):
    return [one.output.removeprefix(FOLDER) for one in by_worth(commands, order, FOLDER)]


def test_a_command_comes_behind_what_it_needs_and_joining_last():
    training = command("weights_training", "weights.npz")
    grid = [command(f"grid/batch1_dim{dim}") for dim in (2, 10)]
    join = command("grid", "grid/batch1_dim2.csv", "grid/batch1_dim10.csv", joins=True)
    unwanted = command("unwanted")
    user = command("user", "weights.npz")
    found = ordered(["user", "grid"], grid[1], training, grid[0], join, unwanted, user)
    assert found == [
        "weights_training.csv",
        "user.csv",
        "grid/batch1_dim2.csv",
        "grid/batch1_dim10.csv",
        "grid.csv",
    ]


def test_a_join_whose_curves_are_unwanted_is_none():
    join = command("grid", "grid/a.csv", joins=True)
    assert ordered(["one"], command("grid/a"), command("one"), join) == ["one.csv"]


@pytest.mark.parametrize("scale", scales(ROOT))
def test_the_weights_that_a_scale_names_are_in_the_repository(scale):
    weights = complete(ROOT, {"scale": scale, "source": "fresh"})["argru"]["weights"]
    assert weights is None or (ROOT / weights).is_file(), (
        f"config/scale_{scale}.yaml: argru.weights is {weights}, which is not there: name the "
        "weights of an archive that is"
    )


def test_scale_gpu_has_its_most_wanted_first_and_trains_no_weights():
    order = complete(ROOT, {"scale": "gpu", "source": "fresh"})["lent"]["order"]
    lines = script("gpu", "commands.sh").splitlines()
    steps = [line.split()[1] for line in lines if line.startswith("step ")]
    names = [step.removeprefix(FOLDER).removesuffix(".csv") for step in steps]
    places = [rank(order, name) for name in names]
    assert places == sorted(places) and set(places) == set(range(len(order)))
    assert not [line for line in lines if "argru_training" in line or "snakemake" in line.lower()]
    assert sum(line.startswith("join ") for line in lines) == 2


def test_the_list_has_the_lines_of_the_workflow(tmp_path):
    given = tmp_path / "given.yaml"
    given.write_text(yaml.safe_dump({"lent": {"order": ["windows"]}}))
    training, windows = dry_run(["results/fresh/smoke/windows.csv"], "smoke", None)
    lines = script("smoke", "list.sh", given).splitlines()
    assert [line for line in lines if line.startswith("step ")] == [
        f"step {one.output} {one.log} {one.text}" for one in (training, windows)
    ]
    assert "--weights results/fresh/smoke/argru_weights.npz" in windows.text


@pytest.mark.parametrize("entry", ["widows", "grid/batch1"])
def test_an_unknown_experiment_is_one_sentence(entry, tmp_path):
    given = tmp_path / "given.yaml"
    given.write_text(yaml.safe_dump({"lent": {"order": [entry]}}))
    name = entry.partition("/")[0]
    with pytest.raises(ConfigurationError, match=f"lent.order: '{name}' is no experiment"):
        script("smoke", "list.sh", given)


def test_the_default_names_all_experiments_that_suit_such_a_machine():
    order = complete(ROOT, {"scale": "cpu", "source": "fresh"})["lent"]["order"]
    named = {entry.partition("/")[0] for entry in order}
    assert named == {one.name for one in catalogue.EXPERIMENTS} - UNSUITED
