"""The configuration: what is completed, what is refused, and what its documents say."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from experiments.harness.configuration import (
    ConfigurationError,
    check,
    complete,
    defaults,
    merge,
    read_scale,
    read_schema,
    results_folder,
    scales,
)
from experiments.reporting import config_docs

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = read_schema(ROOT)


def leaves(part: dict[str, Any], place: str = "") -> dict[str, dict[str, Any]]:
    found = {}
    for key, child in part["properties"].items():
        name = f"{place}.{key}".strip(".")
        found |= leaves(child, name) if "properties" in child else {name: child}
    return found


def mappings(part: dict[str, Any]) -> list[dict[str, Any]]:
    nested = [child for child in part.get("properties", {}).values() if "properties" in child]
    return [part, *(inner for child in nested for inner in mappings(child))]


def keys(settings: dict[str, Any], place: str = "") -> set[str]:
    found = set()
    for key, value in settings.items():
        name = f"{place}.{key}".strip(".")
        found |= keys(value, name) if isinstance(value, dict) else {name}
    return found


def test_every_key_has_description_unit_and_default():
    for name, part in leaves(SCHEMA).items():
        assert {"description", "unit", "default"} <= part.keys(), name


def test_no_mapping_takes_unknown_keys():
    assert all(part["additionalProperties"] is False for part in mappings(SCHEMA))


def test_defaults_satisfy_the_schema():
    check(defaults(SCHEMA), SCHEMA)


@pytest.mark.parametrize("scale", scales(ROOT))
def test_scale_is_accepted_and_says_numbers_of_experiments_only(scale):
    complete(ROOT, {"scale": scale})
    experiments = {name for name in leaves(SCHEMA) if "." in name}
    assert keys(read_scale(ROOT, scale)) <= experiments


def test_defaults_equal_scale_cpu():
    assert merge(defaults(SCHEMA), read_scale(ROOT, "cpu")) == defaults(SCHEMA)


def test_paper_scale_has_the_grids_of_figures_2_and_6():
    grids = read_scale(ROOT, "paper")["gru_scaling"]
    assert grids["batch_16"] == {
        "dims": [8, 16, 32, 64],
        "lengths": [30_000, 100_000, 300_000, 1_000_000],
    }
    assert grids["batch_1"] == {
        "dims": [1, 2, 4, 8, 16, 32, 64],
        "lengths": [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
    }
    memory = read_scale(ROOT, "paper")["gpu_memory"]
    for batch in ("batch_1", "batch_16"):
        assert memory[batch] == {**grids[batch], "targets": ["h100", "a100"]}
    assert (grids["seeds"], grids["repetitions"], grids["warmups"]) == (20, 5, 5)


def test_given_values_go_before_the_scale():
    given = {"scale": "smoke", "gru_scaling": {"seeds": 7, "batch_1": {"dims": [3]}}}
    settings = complete(ROOT, given)
    smoke = read_scale(ROOT, "smoke")["gru_scaling"]
    assert settings["gru_scaling"]["seeds"] == 7
    assert settings["gru_scaling"]["batch_1"]["dims"] == [3]
    assert settings["gru_scaling"]["batch_1"]["lengths"] == smoke["batch_1"]["lengths"]
    assert settings["gru_scaling"]["repetitions"] == smoke["repetitions"]


def test_a_scale_of_ones_own_takes_defaults_for_what_it_leaves_out(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "scale_mine.yaml").write_text("gru_scaling: {seeds: 9}\n")
    settings = complete(tmp_path, {"scale": "mine"})
    assert settings["gru_scaling"] == defaults(SCHEMA)["gru_scaling"] | {"seeds": 9}


def test_results_folder():
    assert results_folder({"scale": "cpu", "source": "fresh"}) == "fresh/cpu"
    assert results_folder({"scale": "cpu", "source": "archived/x"}) == "archived/x"


@pytest.mark.parametrize(
    "given, parts",
    [
        ({"scael": "cpu"}, ["key scael is unknown", "did you mean scale?", "source"]),
        ({"without": "chaos"}, ["without is 'chaos' but must be a list", "[chaos]"]),
        ({"gru_scaling": {"sedes": 1}}, ["gru_scaling.sedes is unknown", "seeds"]),
        ({"gru_scaling": {"batch_1": {"d": 1}}}, ["gru_scaling.batch_1.d", "dims, lengths"]),
        ({"scale": "huge"}, ["'huge'", "cpu, gpu, paper, smoke"]),
        ({"scale": 3}, ["scale is 3", "must be a text"]),
        ({"source": "archived/none"}, ["'archived/none'", "use one of fresh"]),
        ({"source": "cpu"}, ["'cpu'", "use one of fresh"]),
        ({"gru_scaling": 4}, ["gru_scaling is 4", "must be a mapping"]),
        ({"gru_scaling": {"seeds": 2.5}}, ["gru_scaling.seeds is 2.5", "a whole number"]),
        ({"gru_scaling": {"seeds": "2"}}, ["'2'", "a whole number", "--configfile"]),
        ({"gru_scaling": {"seeds": 0}}, ["gru_scaling.seeds is 0", "at least 1"]),
        ({"gru_scaling": {"tolerance": "1e-4"}}, ["'1e-4'", "a number", "1.0e-4"]),
        ({"gru_scaling": {"tolerance": 0}}, ["tolerance is 0", "larger than 0"]),
        ({"gru_scaling": {"memory_fraction": 2}}, ["memory_fraction is 2", "at most 1"]),
        ({"gru_scaling": {"cell_seconds": "x"}}, ["'x'", "a number or null"]),
        ({"gru_scaling": {"methods": ["elk"]}}, ["methods[0] is 'elk'", "quasi_deer"]),
        ({"gru_scaling": {"batch_1": {"dims": []}}}, ["batch_1.dims", "empty"]),
        ({"gru_scaling": {"batch_1": {"dims": [2, 2]}}}, ["batch_1.dims", "twice"]),
        ({"gru_scaling": {"batch_1": {"dims": [1, "x"]}}}, ["batch_1.dims[1] is 'x'"]),
    ],
)
def test_fault_is_one_sentence_that_names_the_key(given, parts):
    with pytest.raises(ConfigurationError) as caught:
        complete(ROOT, given)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert message.startswith("Configuration: ") and message.endswith(".")


def test_scale_file_that_is_not_yaml_is_named(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "scale_smoke.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigurationError, match=r"config/scale_smoke\.yaml is not YAML"):
        complete(tmp_path, {"scale": "smoke"})


def test_readme_is_in_step():
    """Run `python -m experiments.reporting.config_docs` where this fails."""
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert text == config_docs.render(ROOT)
