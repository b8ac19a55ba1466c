"""Small experiments, of which compiling is the longest part."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def compiled_fast(barely_optimised):
    """How fast a program is does not matter to these tests."""


@pytest.fixture
def optimised(compiled_fast):
    """All effort for a test that runs a program for longer than that takes to compile."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
