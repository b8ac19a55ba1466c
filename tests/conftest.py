"""Checks every annotated shape and dtype inside the package while the tests run."""

import os
import tempfile

# Programs are compiled once for all tests and the processes that they start. Read when JAX is
# imported.
COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", COMPILED.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import pytest
from jaxtyping import install_import_hook

# Must come before the package is imported, so it stands in the outermost conftest. The entry
# points are left out: they refuse wrong arguments in their own words.
INSIDE = [
    "_acceptance",
    "_adjoint",
    "_carry",
    "_damping",
    "_finite",
    "_flat",
    "_iterate",
    "_kalman",
]
INSIDE += ["_matrices", "_methods"]
INSIDE += ["_linear_scan", "_solution", "_solver", "_transition", "_window", "cells"]
install_import_hook([f"parallel_rnn.{module}" for module in INSIDE], "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Frees the compiled programs of a file of tests.

    Each takes several memory maps. Linux allows a process 65,530 of them, which all tests
    together exceed; XLA then ends with a segmentation fault.
    """
    yield
    jax.clear_caches()
