# Figures and tables. They read results/{source} and write figures/out/{source}: from an
# archive they never start an experiment, because no rule writes results/archived.

# What the scripts import.
FIGURE_MODULES = ["figures/results.py", "figures/style.py"]


localrules:
    draw_gru_scaling,
    draw_gru_accuracy,
    fit_scaling_exponents,


rule draw_gru_scaling:
    """Time, iterations and memory against T for one batch size (Figures 2 and 6)."""
    input:
        csv="results/{source}/gru_scaling.csv",
        json="results/{source}/gru_scaling.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/gru_scaling_batch{batch}.pdf",
        svg=report(
            "figures/out/{source}/gru_scaling_batch{batch}.svg",
            caption="../figures/captions/gru_scaling.rst",
            category="Figures",
            labels={"figure": "GRU scaling, batch {batch}", "results": "{source}"},
        ),
        png="figures/out/{source}/gru_scaling_batch{batch}.png",
    log:
        "logs/{source}/figures/gru_scaling_batch{batch}.log",
    conda:
        "../environment.yml"
    params:
        batch="{batch}",
    message:
        "Drawing the scaling of the GRU at batch {wildcards.batch}"
    script:
        "../figures/gru_scaling.py"


rule draw_gru_accuracy:
    """Difference of the parallel methods from the sequential answer (Figure 5)."""
    input:
        csv="results/{source}/gru_accuracy.csv",
        json="results/{source}/gru_accuracy.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/gru_accuracy.pdf",
        svg=report(
            "figures/out/{source}/gru_accuracy.svg",
            caption="../figures/captions/gru_accuracy.rst",
            category="Figures",
            labels={"figure": "GRU accuracy", "results": "{source}"},
        ),
        png="figures/out/{source}/gru_accuracy.png",
    log:
        "logs/{source}/figures/gru_accuracy.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the accuracy of the parallel methods"
    script:
        "../figures/gru_accuracy.py"


rule fit_scaling_exponents:
    """Fitted exponents of time and memory in T and D, beside the paper's Table 1."""
    input:
        csv="results/{source}/gru_scaling.csv",
        fit="experiments/scaling_fit.py",
    output:
        csv=report(
            "figures/out/{source}/scaling_exponents.csv",
            caption="../figures/captions/scaling_exponents.rst",
            category="Tables",
            labels={"table": "Scaling exponents", "results": "{source}"},
        ),
        md="figures/out/{source}/scaling_exponents.md",
        tex="figures/out/{source}/scaling_exponents.tex",
    log:
        "logs/{source}/figures/scaling_exponents.log",
    conda:
        "../environment.yml"
    message:
        "Fitting the scaling exponents"
    shell:
        "python -m experiments.scaling_fit --input {input.csv} --output {output.csv} > {log} 2>&1"
