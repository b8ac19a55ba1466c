"""Strict JAX for the tests of the package: nothing may rely on silent promotion."""

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_jax():
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        yield


@pytest.fixture
def promoting(strict_jax):
    """The promotion that users have: a complex number times a float is one step of their `f`."""
    with jax.numpy_dtype_promotion("standard"):
        yield
