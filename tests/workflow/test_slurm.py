"""The profile for SLURM knows every rule that measures."""

import yaml

from experiments import catalogue
from tests.clones import ROOT

PROFILE = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())


def test_every_rule_that_measures_is_named():
    rules = {f"measure_{one.name}" for one in catalogue.EXPERIMENTS}
    # What trains the AR GRU makes weights for other experiments and is none itself.
    training = {"measure_argru_training", "measure_argru_training_seed"}
    assert PROFILE["set-resources"].keys() == rules | training


def test_what_measures_time_has_its_node_for_itself():
    for one in catalogue.EXPERIMENTS:
        given = PROFILE["set-resources"][f"measure_{one.name}"]
        assert ("slurm_extra" in given) == one.timed, one.name
        assert one.timed <= ("gpu" in given), one.name
