"""Checks every annotated shape and dtype inside the package while the tests run."""

from jaxtyping import install_import_hook

# Must come before the package is imported, so it stands in the outermost conftest. The entry
# points are left out: they refuse wrong arguments in their own words.
INSIDE = ["_adjoint", "_damping", "_flat", "_iterate", "_kalman", "_matrices", "_methods"]
INSIDE += ["_recurrence", "_solution", "_solver", "_transition", "_window", "cells"]
install_import_hook([f"parallel_rnn.{module}" for module in INSIDE], "beartype.beartype")
