"""Checks every annotated shape and dtype inside the package while the tests run."""

import os
import tempfile

# Programs are compiled once for all tests and the processes that they start. Read when JAX is
# imported.
COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", COMPILED.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Several processes may test on one GPU. By default the first would take three quarters of it.
if "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import pytest
from jaxtyping import install_import_hook

# Must come before the package is imported, so it stands in the outermost conftest. The rooms of the
# entry points are left out: they refuse wrong arguments in their own words.
INSIDE = ("_finite", "_programs", "_linear", "_recurrence", "_right", "_solvers", "_chunks")
INSIDE += ("_gradients", "cells")
install_import_hook([f"parallel_rnn.{room}" for room in INSIDE], "beartype.beartype")


def pytest_addoption(parser):
    parser.addoption("--as-platform", help="compute here as on another platform, such as gpu")


def pytest_configure(config):
    """The linear scans, windows and layouts of another platform, tested without its devices."""
    platform = config.getoption("--as-platform")
    if platform is not None:
        jax.default_backend = lambda: platform


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Frees the compiled programs of a file of tests.

    Each takes several memory maps. Linux allows a process 65,530 of them, which all tests
    together exceed; XLA then ends with a segmentation fault.
    """
    yield
    jax.clear_caches()


FLAG = "jax_disable_most_optimizations"


@pytest.fixture(scope="module")
def barely_optimised():
    """Programs that are compiled with little effort, here and in the processes that a test starts.

    For tests of what is computed, each of whose programs runs a few times at a small size, so that
    compiling takes longest. Tests of what users wait for, or of how rounding goes, take all effort.
    So do all on a GPU, where they look at what that device computes.
    """
    little = jax.default_backend() == "cpu"
    with pytest.MonkeyPatch.context() as patch:
        if little:
            patch.setenv(FLAG.upper(), "1")
        jax.config.update(FLAG, little)
        yield
        jax.config.update(FLAG, False)


@pytest.fixture
def optimised(barely_optimised):
    """All effort for one test: it runs long, or looks at the program that users have."""
    before = jax.config.read(FLAG)
    jax.config.update(FLAG, False)
    yield
    jax.config.update(FLAG, before)
