"""Small experiments, of which compiling is the longest part."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def compiled_fast(barely_optimised):
    """How fast a program is does not matter to these tests."""
