"""All measures by their names: functions from the results of a source to numbers.

Each takes a `Results` and the `arguments` of paper/claims.yaml, and returns a `Measurement` or
raises `NotMeasured`.
"""

from collections.abc import Callable

from experiments.reporting.measures import argru, beyond, gru, lorenz96, training
from experiments.reporting.measures.measurement import Measurement

_FUNCTIONS: tuple[Callable[..., Measurement], ...] = (
    gru.scaling_exponents,
    gru.total_memory_ratio,
    gru.gpu_total_memory_ratio,
    gru.gpu_memory_needed,
    gru.largest_speedup,
    gru.iterations_ratio,
    gru.rounding_difference,
    gru.parallel_wins,
    gru.speedup_on_long_sequences,
    gru.least_speedup_on_long_sequences,
    argru.argru_iterations,
    argru.argru_order,
    argru.argru_times,
    argru.argru_fastest_parallel,
    argru.argru_farthest_iterate,
    argru.best_damping,
    argru.worse_at_both_ends,
    lorenz96.lorenz96_iterations,
    lorenz96.undamped_iterations,
    lorenz96.lorenz96_converged,
    lorenz96.lorenz96_farthest_iterate,
    lorenz96.lorenz96_fastest_parallel,
    training.training_iterations_ratio,
    training.accuracy_difference,
    training.update_time_ratio,
    training.gradient_difference,
    beyond.windows_work_ratio,
    beyond.chunks_depth,
    beyond.chunks_work,
    beyond.radius_difference,
    beyond.scale_elk_ratio,
    beyond.filter_and_smoother,
    beyond.lyapunov_correlation,
    beyond.wide_speedup,
    beyond.trained_iterations_ratio,
)
MEASURES: dict[str, Callable[..., Measurement]] = {
    function.__name__: function for function in _FUNCTIONS
}
