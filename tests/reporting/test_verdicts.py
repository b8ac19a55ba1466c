"""The verdicts on claims: what is reproduced, consistent, marginal, a tie, and what is not."""

import pytest

from experiments.reporting.claim_list import BOUNDS, SCHEMA
from experiments.reporting.measures.measurement import Measurement
from experiments.reporting.results import NotMeasured
from experiments.reporting.verdicts import LEAST_TIE, MARGIN, VERDICTS, verdict

INFINITE = float("inf")


def judged(judge, against, values, tolerance=None, spread=None):
    entry = {"judge": judge, "against": against}
    if tolerance is not None:
        entry["tolerance"] = tolerance
    return verdict(entry, Measurement(values, "", "", spread or {}))


@pytest.mark.parametrize(
    ("judge", "against", "tolerance", "values", "expected"),
    [
        ("at_least", 10, None, {"a": 10, "b": 11}, "reproduced"),
        ("at_least", 10, None, {"a": 9.99, "b": 11}, "not reproduced"),
        ("at_least", 10, 2, {"a": 9}, "reproduced"),
        ("at_least", 10, 2, {"a": 8}, "marginal"),
        ("at_least", 10, 2, {"a": 7.7}, "not reproduced"),
        ("at_most", 10, None, {"a": 10}, "reproduced"),
        ("at_most", 10, None, {"a": 10.01}, "not reproduced"),
        ("at_most", 10, 2, {"a": 11}, "reproduced"),
        ("at_most", 10, 2, {"a": INFINITE}, "not reproduced"),
        ("at_most", {"a": 1}, None, {"a": 1, "b": 5}, "reproduced"),
        ("at_most", {"a": 1}, None, {"a": 2, "b": 0}, "not reproduced"),
        ("within", {"a": 1, "b": 2}, 0.3, {"a": 1.25, "b": 1.75}, "reproduced"),
        ("within", {"a": 1, "b": 2}, 0.3, {"a": 1, "b": 1.72}, "marginal"),
        ("within", {"a": 1, "b": 2}, 0.3, {"a": 1.3, "b": 1.6}, "not reproduced"),
        ("within_factor", 20, 2, {"a": 35}, "reproduced"),
        ("within_factor", 20, 2, {"a": 41}, "marginal"),
        ("within_factor", 20, 2, {"a": 9}, "not reproduced"),
        ("within_factor", 1e-2, 10, {"a": 1e-3}, "marginal"),
        ("within_factor", 1e-2, 10, {"a": 0.1}, "marginal"),
        ("within_factor", 1e-2, 10, {"a": INFINITE}, "not reproduced"),
        ("within_factor", 2.3, 2, {"a": 83}, "not reproduced"),
        ("upper_bound", {"T": 1, "D": 3}, 0.3, {"T": 0.98, "D": 1.61}, "consistent"),
        ("upper_bound", {"T": 1, "D": 3}, 0.3, {"T": 0.98, "D": 2.9}, "reproduced"),
        ("upper_bound", {"T": 1, "D": 3}, 0.3, {"T": 0.1, "D": 3.6}, "not reproduced"),
        ("upper_bound", 1, None, {"a": 0.2}, "consistent"),
        ("upper_bound", 1, None, {"a": 1}, "reproduced"),
        ("upper_bound", 1, None, {"a": 1.01}, "not reproduced"),
        ("in_order", ["a", "b", "c"], None, {"c": 3, "a": 1, "b": 2}, "reproduced"),
        ("in_order", ["a", "b", "c"], None, {"a": 1, "b": 3, "c": 2}, "not reproduced"),
        ("in_order", ["a", "b"], None, {"a": INFINITE, "b": INFINITE}, "not reproduced"),
        ("in_order", ["a", "b"], None, {"a": 1, "b": INFINITE}, "reproduced"),
    ],
)
def test_a_verdict_is_the_worst_of_its_values(judge, against, tolerance, values, expected):
    assert judged(judge, against, values, tolerance) == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_values_that_differ_by_less_than_their_repetitions_are_a_tie(sign):
    near, apart = 1 + sign * 0.9 * LEAST_TIE, 1 + sign * 2 * LEAST_TIE
    in_order = ("in_order", ["a", "b"])
    assert judged(*in_order, {"a": 1, "b": near}) == "tie"
    assert judged(*in_order, {"a": 1, "b": apart}) != "tie"
    assert judged(*in_order, {"a": 1, "b": apart}, spread={"b": 4 * LEAST_TIE}) == "tie"
    assert judged(*in_order, {"a": 1, "b": near}, spread={"b": 0.0}) == "tie"


def test_a_clear_reversal_is_not_hidden_by_a_tie():
    assert judged("in_order", ["a", "b", "c"], {"a": 1, "b": 1.01, "c": 0.5}) == "not reproduced"


def test_a_ratio_of_times_near_its_bound_is_a_tie_and_a_share_is_not():
    assert judged("at_least", 1, {"a": 1.01}, spread={"a": 0.0}) == "tie"
    assert judged("at_least", 1, {"a": 0.99}, spread={"a": 0.0}) == "tie"
    assert judged("at_least", 1, {"a": 1.2}, spread={"a": 0.3}) == "tie"
    assert judged("at_least", 1, {"a": 1.2}, spread={"a": 0.1}) == "reproduced"
    assert judged("at_least", 1, {"a": 1.0}) == "reproduced"
    assert judged("at_least", 1, {"a": 0.99}) == "not reproduced"


def test_marginal_lies_on_both_sides_of_the_edge():
    for used, expected in (
        (1 - 1.1 * MARGIN, "reproduced"),
        (1 - 0.9 * MARGIN, "marginal"),
        (1 + 0.9 * MARGIN, "marginal"),
        (1 + 1.1 * MARGIN, "not reproduced"),
    ):
        assert judged("within", 5, {"a": 5 - 2 * used}, 2) == expected
        assert judged("within_factor", 5, {"a": 5 * 3**used}, 3) == expected


def test_a_value_that_the_criterion_needs_must_be_there():
    with pytest.raises(NotMeasured, match="no results for quasi-ELK"):
        judged("in_order", ["elk", "quasi_elk"], {"elk": 1})


def test_every_way_to_judge_has_a_verdict():
    ways = SCHEMA["properties"]["claims"]["items"]["properties"]["judge"]["enum"]
    for judge in ways:
        ordered = judge == "in_order"
        against, values = (["a", "b"], {"a": 1, "b": 2}) if ordered else (2, {"a": 2})
        assert judged(judge, against, values, None if judge in BOUNDS else 1.5) in VERDICTS
