"""Compiling side by side."""

import threading

import pytest

from experiments.harness.records import available_cores
from experiments.harness.timing import side_by_side


def test_keys_keep_their_order_and_results():
    assert list(side_by_side(lambda n: n * n, [3, 1, 2]).items()) == [(3, 9), (1, 1), (2, 4)]


@pytest.mark.skipif(available_cores() < 2, reason="one core makes one program at a time")
def test_two_are_made_at_a_time():
    both = threading.Barrier(2, timeout=60)
    side_by_side(lambda _: both.wait(), [1, 2])  # each waits until the other is there


def test_what_fails_beside_others_is_made_again_alone():
    main = threading.current_thread()
    calls = []

    def make(key):
        calls.append(key)
        if key == "large" and threading.current_thread() is not main:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return key.upper()

    assert side_by_side(make, ["large", "small"]) == {"large": "LARGE", "small": "SMALL"}
    assert sorted(calls) == ["large", "large", "small"]


def test_what_fails_alone_too_is_raised_or_replaced():
    def make(key):
        if key == "bad":
            raise RuntimeError("no")
        return key

    with pytest.raises(RuntimeError, match="no"):
        side_by_side(make, ["good", "bad"])
    assert side_by_side(make, ["good", "bad"], failed=str) == {"good": "good", "bad": "no"}
