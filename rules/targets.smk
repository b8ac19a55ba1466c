# Names to ask for: one for each figure, table and experiment.


# Each figure, and the results that it is drawn from.
FIGURES = {
    "gru_scaling_batch16": "gru_scaling",
    "gru_scaling_batch1": "gru_scaling",
    "gru_accuracy": "gru_accuracy",
}


localrules:
    figures,
    figure_2,
    figure_5,
    figure_6,
    scaling_exponents,
    gru_scaling,
    gru_accuracy,


rule figures:
    """Every figure."""
    input:
        drawable(FIGURES),


rule figure_2:
    """Figure 2: time and memory of an untrained GRU at batch size 16."""
    input:
        figure_files("gru_scaling_batch16"),


rule figure_5:
    """Figure 5: outputs of DEER and quasi-DEER against sequential evaluation."""
    input:
        figure_files("gru_accuracy"),


rule figure_6:
    """Figure 6: time, memory and iterations of an untrained GRU at batch size 1."""
    input:
        figure_files("gru_scaling_batch1"),


rule scaling_exponents:
    """Exponents of time and memory in T and D, beside the paper's Table 1."""
    input:
        table_files("scaling_exponents"),


rule gru_scaling:
    """Results of the experiment behind Figures 2 and 6."""
    input:
        result_files("gru_scaling"),


rule gru_accuracy:
    """Results of the experiment behind Figure 5."""
    input:
        result_files("gru_accuracy"),
