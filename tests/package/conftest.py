"""Strict JAX for the tests of the package: nothing may rely on silent promotion.

Products are as precise as their type. By default a GPU multiplies float32 with the ten bits of
TF32, though not in every program: an `f` would be another function in `jax.lax.scan`, which is the
reference, than in a solver, which evaluates many steps at once.
"""

import jax
import pytest

from parallel_rnn._automatic.auto_chunks import SHORTEST_CHUNK


@pytest.fixture(autouse=True)
def strict_jax():
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.default_matmul_precision("highest"),
    ):
        yield


@pytest.fixture
def promoting(strict_jax):
    """The promotion that users have: a complex number times a float is one step of their `f`."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def chunks_of_short_sequences():
    """`chunk="auto"` tries chunks of any f, from a length on that tests can afford."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parallel_rnn._automatic.worth.SHORTEST", 2 * SHORTEST_CHUNK)
        patch.setattr("parallel_rnn._automatic.auto_chunks.chunks_pay", lambda recurrence: True)
        yield
