"""Command lines say and refuse what the configuration does."""

from dataclasses import make_dataclass
from pathlib import Path

import pytest

from experiments.harness.command_line import experiment_parser, read_settings, to_words
from experiments.harness.configuration import defaults, read_schema

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = defaults(read_schema(ROOT))
SECTIONS = {
    "gru_scaling": DEFAULTS["gru_scaling"],
    "argru.training": DEFAULTS["argru"]["training"],
    **{name: DEFAULTS[name] for name in ("gru_accuracy", "lorenz96", "chaos", "damping")},
}


def read(section, *words):
    """The values of a section as a run would get them."""
    values = {name for name, value in SECTIONS[section].items() if not isinstance(value, dict)}
    kind = make_dataclass("Settings", sorted(values))
    parser = experiment_parser("some", section)
    return vars(read_settings(kind, parser, section, [*words, "--output", "x.csv"])[0])


@pytest.mark.parametrize("section", SECTIONS)
def test_the_defaults_are_those_of_the_configuration(section):
    plain = read(section)
    assert plain == read(section, *to_words(SECTIONS[section]))
    for name, value in plain.items():
        wanted = SECTIONS[section][name]
        assert value == (tuple(wanted) if isinstance(wanted, list) else wanted)


def test_values_of_every_type_arrive():
    assert read("gru_scaling", *to_words({"cell_seconds": None}))["cell_seconds"] is None
    given = {"methods": ["deer"], "tolerance": 1e-7, "seeds": 4}
    assert read("gru_scaling", *to_words(given)).items() >= {**given, "methods": ("deer",)}.items()


@pytest.mark.parametrize(
    ("section", "given", "message"),
    [
        ("gru_scaling", {"tolerance": "nan"}, "tolerance is 'nan' but must be a number"),
        ("gru_scaling", {"methods": "elk"}, "methods[0] is 'elk' but must be one of sequential"),
        ("gru_scaling", {"seeds": 2.5}, "seeds is 2.5 but must be a whole number"),
        ("gru_scaling", {"cell_seconds": 0}, "cell_seconds is 0 but must be larger than 0"),
        ("damping", {"scales": [0, -0.1]}, "scales[1] is -0.1 but must be at least 0"),
        ("damping", {"scales": [0, "ten"]}, "scales[1] is 'ten' but must be a number"),
        ("lorenz96", {"starts": 11}, "starts is 11 but must be at most 10"),
        ("chaos", {"windows": [8, 8]}, "windows is [8, 8] but must not name a value twice"),
    ],
)
def test_wrong_values_are_refused_in_the_configurations_words(capsys, section, given, message):
    with pytest.raises(SystemExit):
        read(section, *to_words(given))
    assert message in capsys.readouterr().err
