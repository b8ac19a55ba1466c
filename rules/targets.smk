# Names to ask for: one for each figure, table and experiment.


# Each figure, and the results that it is drawn from.
FIGURES = {
    "gru_scaling_batch16": "gru_scaling",
    "gru_scaling_batch1": "gru_scaling",
    "gpu_memory_batch16": "gpu_memory",
    "gpu_memory_batch1": "gpu_memory",
    "gru_accuracy": "gru_accuracy",
    "argru_convergence": "argru",
    "argru_sweep": "argru_sweep",
    "lorenz96": "lorenz96",
    "damping": "damping",
    "windows": "windows",
    "wide": "wide",
    "architectures": "architectures",
    "chaos": "chaos",
    "training": "training",
    "gradients": "gradients",
}
# Each table, likewise.
TABLES = {
    "scaling_exponents": "gru_scaling",
    "table_2": "argru",
    "training_accuracy": "training",
    "claims": None,
    "findings": None,
}


localrules:
    figures,
    tables,
    report,
    figure_2,
    figure_3,
    figure_4,
    figure_5,
    figure_6,
    figure_7,
    figure_8,
    scaling_exponents,
    table_2,
    training_accuracy,
    claims,
    gru_scaling,
    gpu_memory,
    gru_accuracy,
    argru,
    lorenz96,
    damping,
    windows,
    wide,
    architectures,
    chaos,
    training,
    gradients,


rule figures:
    """Every figure."""
    input:
        drawable(FIGURES, figure_files),


rule tables:
    """Every table."""
    input:
        drawable(TABLES, table_files),


rule report:
    """The report as PDF: methods, every figure and table, guidance and limits."""
    input:
        f"figures/out/{SOURCE}/report.pdf",


rule figure_2:
    """Figure 2: time and memory of an untrained GRU at batch size 16."""
    input:
        figure_files("gru_scaling_batch16"),


rule figure_3:
    """Figure 3: a classifier trained with sequential evaluation, DEER and quasi-DEER."""
    input:
        figure_files("training"),


rule figure_4:
    """Figure 4: convergence on the AR GRU, untrained and trained, and iterates."""
    input:
        figure_files("argru_convergence"),


rule figure_5:
    """Figure 5: outputs of DEER and quasi-DEER against sequential evaluation."""
    input:
        figure_files("gru_accuracy"),


rule figure_6:
    """Figure 6: time, memory and iterations of an untrained GRU at batch size 1."""
    input:
        figure_files("gru_scaling_batch1"),


rule figure_7:
    """Figure 7: the damping of ELK and quasi-ELK swept on the trained AR GRU."""
    input:
        figure_files("argru_sweep"),


rule figure_8:
    """Figure 8: Lorenz96, the damping of ELK and quasi-ELK swept, convergence and iterates."""
    input:
        figure_files("lorenz96"),


rule scaling_exponents:
    """Exponents of time and memory in T and D, beside the paper's Table 1."""
    input:
        table_files("scaling_exponents"),


rule table_2:
    """Table 2: time of an iteration, iterations and time in all on the AR GRU."""
    input:
        table_files("table_2"),


rule training_accuracy:
    """Accuracy, iterations and time of the trained classifiers beside baselines."""
    input:
        table_files("training_accuracy"),


rule claims:
    """The paper's claims beside what was measured here, and what was found beyond the paper."""
    input:
        table_files("claims"),
        table_files("findings"),


rule gru_scaling:
    """Results of the experiment behind Figures 2 and 6."""
    input:
        result_files("gru_scaling"),


rule gpu_memory:
    """Memory on GPUs that need not be there (memory of Figures 2 and 6), and the results."""
    input:
        result_files("gpu_memory"),
        figure_files("gpu_memory_batch16"),
        figure_files("gpu_memory_batch1"),


rule gru_accuracy:
    """Results of the experiment behind Figure 5."""
    input:
        result_files("gru_accuracy"),


rule argru:
    """Results of the experiments behind Figures 4 and 7 and Table 2."""
    input:
        result_files("argru"),
        result_files("argru_sweep"),


rule lorenz96:
    """Results of the experiment behind Figure 8."""
    input:
        result_files("lorenz96"),


rule chaos:
    """Iterations against the largest Lyapunov exponent, and the results."""
    input:
        result_files("chaos"),
        figure_files("chaos"),


rule damping:
    """What damping does, and its results: docs/damping.md explains it."""
    input:
        result_files("damping"),
        figure_files("damping"),


rule windows:
    """Iterations, work and time against the length of the window, and the results."""
    input:
        result_files("windows"),
        figure_files("windows"),


rule wide:
    """Where a parallel method pays on a CPU: time of wide GRUs against D, and the results."""
    input:
        result_files("wide"),
        figure_files("wide"),


rule architectures:
    """Every cell with every method, untrained and trained, and the results."""
    input:
        result_files("architectures"),
        figure_files("architectures"),


rule training:
    """Results of the experiments behind Figure 3: training, baselines, time of an update."""
    input:
        result_files("training"),
        result_files("baselines"),
        result_files("training_step"),


rule gradients:
    """The approximate gradient beside the exact one along a training, and the results."""
    input:
        result_files("gradients"),
        figure_files("gradients"),
