"""What a user chooses may come from elsewhere: computed by NumPy, or handed through `jax.jit`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parallel_rnn import (
    DEER,
    ELK,
    AdaptiveDamping,
    AssociativeScan,
    BlockDiagonal,
    ClipELK,
    DiagonalAdjoint,
    ImplicitAdjoint,
    IteratedAdjoint,
    Jacobi,
    Picard,
    QuasiDEER,
    QuasiELK,
    ScaleELK,
    Sequential,
    SequentialScan,
    StochasticDiagonal,
    advise,
    scan,
    solve,
    solve_batch,
)

from recurrences import assert_same_solution, gru, largest_difference, reference

pytestmark = pytest.mark.usefixtures("barely_optimised")

SOLVERS = [
    Sequential(),
    Jacobi(),
    Picard(),
    DEER(linear_scan=SequentialScan()),
    QuasiDEER(rtol=1e-8, atol=1e-8),
    QuasiDEER(transition=BlockDiagonal(2)),
    QuasiDEER(transition=StochasticDiagonal(2)),
    ScaleELK(0.1),
    ClipELK(),
    ELK(estimate="smoother"),
    ELK(AdaptiveDamping()),
    QuasiELK(),
]


@pytest.mark.parametrize("number", [np.int64(7), np.int8(7), np.uint32(7)])
@pytest.mark.parametrize("option", ["window", "chunk", "max_steps"])
def test_counts_may_be_of_numpy(option, number):
    cell, s0, xs = gru(2, 20)

    def run(number: Any) -> Any:
        options: dict[str, Any] = {option: number}
        return solve(cell, s0, xs, QuasiDEER(), throw=False, **options)

    assert_same_solution(run(number), run(7))


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda n: ImplicitAdjoint(window=n), "window"),
        (lambda n: IteratedAdjoint(chunk=n), "chunk"),
        (lambda n: BlockDiagonal(n), "size"),
        (lambda n: StochasticDiagonal(n), "num_probes"),
    ],
)
def test_counts_of_numpy_are_kept_as_those_of_python(make, count):
    """So that a program which is compiled for one serves the other."""
    assert make(np.int64(2)) == make(2)
    assert type(getattr(make(np.int64(2)), count)) is int


def test_counts_of_other_functions_may_be_of_numpy():
    cell, s0, xs = gru(2, 20)
    unroll: Any = np.int64(2)
    group: Any = np.int64(2)
    pilot: Any = np.int64(20)
    wanted = reference(cell, s0, xs)
    found = scan(lambda s, x: (cell(s, x),) * 2, s0, xs, unroll=unroll)[1]
    assert largest_difference(found, wanted) < 1e-12
    found = solve_batch(cell, s0[None], xs[None], group=group).value[0]
    assert largest_difference(found, wanted) < 1e-12
    assert advise(cell, s0, xs, pilot=pilot, seconds=0.1).pilot == 20


@pytest.mark.parametrize("value", [np.float64(7), np.bool_(True), np.asarray([7])], ids=repr)
def test_no_other_numbers_of_numpy_are_counts(value):
    cell, s0, xs = gru(2, 20)
    with pytest.raises(TypeError, match=r"`window` is .* it must be a Python integer"):
        solve(cell, s0, xs, window=value)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_solvers_may_be_arguments_of_jit(solver):
    cell, s0, xs = gru(2, 20)
    found = jax.jit(lambda solver: solve(cell, s0, xs, solver).value)(solver)
    assert largest_difference(found, reference(cell, s0, xs)) < 1e-6


@pytest.mark.parametrize(
    "adjoint",
    [
        ImplicitAdjoint(AssociativeScan(), window=5),
        IteratedAdjoint(chunk=5),
        DiagonalAdjoint(),
    ],
    ids=str,
)
def test_adjoints_may_be_arguments_of_jit(adjoint):
    cell, s0, xs = gru(2, 20)

    def gradient(adjoint):
        return jax.grad(lambda s0: jnp.sum(solve(cell, s0, xs, adjoint=adjoint).value))(s0)

    assert largest_difference(jax.jit(gradient)(adjoint), gradient(adjoint)) < 1e-12
