# Figures and tables. They read results/{source} and write figures/out/{source}: from an
# archive they never start an experiment, because no rule writes results/archived.

# What the scripts import.
FIGURE_MODULES = ["figures/results.py", "figures/style.py"]


localrules:
    draw_gru_scaling,
    draw_gpu_memory,
    draw_gru_accuracy,
    draw_argru_convergence,
    draw_argru_sweep,
    compare_argru_times,
    draw_lorenz96,
    draw_damping,
    draw_windows,
    draw_wide,
    draw_architectures,
    draw_chaos,
    fit_scaling_exponents,
    draw_training,
    draw_gradients,
    compare_trainings,
    judge_claims,


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
            category="2. Figures of the paper",
            labels=scaling_labels,
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


rule draw_gpu_memory:
    """Memory on GPUs that need not be there, for one batch size (memory of Figures 2 and 6)."""
    input:
        csv="results/{source}/gpu_memory.csv",
        json="results/{source}/gpu_memory.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/gpu_memory_batch{batch}.pdf",
        svg=report(
            "figures/out/{source}/gpu_memory_batch{batch}.svg",
            caption="../figures/captions/gpu_memory.rst",
            category="2. Figures of the paper",
            labels=gpu_memory_labels,
        ),
        png="figures/out/{source}/gpu_memory_batch{batch}.png",
    log:
        "logs/{source}/figures/gpu_memory_batch{batch}.log",
    conda:
        "../environment.yml"
    params:
        batch="{batch}",
    message:
        "Drawing memory on GPUs at batch {wildcards.batch}"
    script:
        "../figures/gpu_memory.py"


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
            category="2. Figures of the paper",
            labels={"figure": "Figure 5: accuracy", "results": "{source}"},
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


rule draw_lorenz96:
    """Damping sweep, convergence and iterates on Lorenz96 (Figure 8)."""
    input:
        csv="results/{source}/lorenz96.csv",
        json="results/{source}/lorenz96.json",
        convergence="results/{source}/lorenz96_convergence.csv",
        iterates="results/{source}/lorenz96_iterates.csv",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/lorenz96.pdf",
        svg=report(
            "figures/out/{source}/lorenz96.svg",
            caption="../figures/captions/lorenz96.rst",
            category="2. Figures of the paper",
            labels={"figure": "Figure 8: Lorenz96", "results": "{source}"},
        ),
        png="figures/out/{source}/lorenz96.png",
    log:
        "logs/{source}/figures/lorenz96.log",
    conda:
        "../environment.yml"
    message:
        "Drawing Lorenz96"
    script:
        "../figures/lorenz96.py"


rule draw_argru_convergence:
    """MAD against iterations on the AR GRU, and iterates (Figure 4)."""
    input:
        csv="results/{source}/argru.csv",
        json="results/{source}/argru.json",
        mad="results/{source}/argru_mad.csv",
        iterates="results/{source}/argru_iterates.csv",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/argru_convergence.pdf",
        svg=report(
            "figures/out/{source}/argru_convergence.svg",
            caption="../figures/captions/argru_convergence.rst",
            category="2. Figures of the paper",
            labels={"figure": "Figure 4: AR GRU", "results": "{source}"},
        ),
        png="figures/out/{source}/argru_convergence.png",
    log:
        "logs/{source}/figures/argru_convergence.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the convergence on the AR GRU"
    script:
        "../figures/argru_convergence.py"


rule draw_argru_sweep:
    """MAD, iterations and time against the damping on the AR GRU (Figure 7)."""
    input:
        csv="results/{source}/argru_sweep.csv",
        json="results/{source}/argru_sweep.json",
        others="results/{source}/argru.csv",
        times="results/{source}/argru_times.csv",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/argru_sweep.pdf",
        svg=report(
            "figures/out/{source}/argru_sweep.svg",
            caption="../figures/captions/argru_sweep.rst",
            category="2. Figures of the paper",
            labels={"figure": "Figure 7: AR GRU, damping", "results": "{source}"},
        ),
        png="figures/out/{source}/argru_sweep.png",
    log:
        "logs/{source}/figures/argru_sweep.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the damping of ELK on the AR GRU"
    script:
        "../figures/argru_sweep.py"


rule compare_argru_times:
    """Iterations and times on the AR GRU, beside the paper's Table 2."""
    input:
        csv="results/{source}/argru.csv",
        times="results/{source}/argru_times.csv",
        sources=[
            "experiments/reporting/tables/table_2.py",
            "experiments/reporting/tables/layout.py",
        ],
    output:
        csv=report(
            "figures/out/{source}/table_2.csv",
            caption="../figures/captions/table_2.rst",
            category="4. Tables",
            labels={"table": "Table 2: AR GRU, times", "results": "{source}"},
        ),
        md="figures/out/{source}/table_2.md",
        tex="figures/out/{source}/table_2.tex",
    log:
        "logs/{source}/figures/table_2.log",
    conda:
        "../environment.yml"
    message:
        "Comparing the times on the AR GRU with the paper's"
    shell:
        "python -m experiments.reporting.tables.table_2 --solves {input.csv} --times {input.times}"
        " --output {output.csv} > {log} 2>&1"


rule draw_chaos:
    """Iterations and time against the largest Lyapunov exponent."""
    input:
        csv="results/{source}/chaos.csv",
        json="results/{source}/chaos.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/chaos.pdf",
        svg=report(
            "figures/out/{source}/chaos.svg",
            caption="../figures/captions/chaos.rst",
            category="3. Beyond the paper",
            labels={"figure": "Chaos", "results": "{source}"},
        ),
        png="figures/out/{source}/chaos.png",
    log:
        "logs/{source}/figures/chaos.log",
    conda:
        "../environment.yml"
    message:
        "Drawing iterations against Lyapunov exponents"
    script:
        "../figures/chaos.py"


rule draw_damping:
    """What damping does: iterations against it, filter and smoother, spectral radii."""
    input:
        csv="results/{source}/damping.csv",
        json="results/{source}/damping.json",
        radius="results/{source}/damping_radius.csv",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/damping.pdf",
        svg=report(
            "figures/out/{source}/damping.svg",
            caption="../figures/captions/damping.rst",
            category="3. Beyond the paper",
            labels={"figure": "Damping", "results": "{source}"},
        ),
        png="figures/out/{source}/damping.png",
    log:
        "logs/{source}/figures/damping.log",
    conda:
        "../environment.yml"
    message:
        "Drawing what damping does"
    script:
        "../figures/damping.py"


rule draw_windows:
    """Iterations, work and time against the length of the window."""
    input:
        csv="results/{source}/windows.csv",
        json="results/{source}/windows.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/windows.pdf",
        svg=report(
            "figures/out/{source}/windows.svg",
            caption="../figures/captions/windows.rst",
            category="3. Beyond the paper",
            labels={"figure": "Windows", "results": "{source}"},
        ),
        png="figures/out/{source}/windows.png",
    log:
        "logs/{source}/figures/windows.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the windows"
    script:
        "../figures/windows.py"


rule draw_wide:
    """Time of wide GRUs against D, beside sequential evaluation."""
    input:
        csv="results/{source}/wide.csv",
        json="results/{source}/wide.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/wide.pdf",
        svg=report(
            "figures/out/{source}/wide.svg",
            caption="../figures/captions/wide.rst",
            category="Figures",
            labels={"figure": "Wide states", "results": "{source}"},
        ),
        png="figures/out/{source}/wide.png",
    log:
        "logs/{source}/figures/wide.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the wide GRUs"
    script:
        "../figures/wide.py"


rule draw_architectures:
    """Iterations and time of every cell with every method, untrained and trained."""
    input:
        csv="results/{source}/architectures.csv",
        json="results/{source}/architectures.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/architectures.pdf",
        svg=report(
            "figures/out/{source}/architectures.svg",
            caption="../figures/captions/architectures.rst",
            category="Figures",
            labels={"figure": "Architectures", "results": "{source}"},
        ),
        png="figures/out/{source}/architectures.png",
    log:
        "logs/{source}/figures/architectures.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the architectures"
    script:
        "../figures/architectures.py"


rule fit_scaling_exponents:
    """Fitted exponents of time and memory in T and D, beside the paper's Table 1."""
    input:
        csv="results/{source}/gru_scaling.csv",
        sources=[
            "experiments/reporting/tables/scaling_exponents.py",
            "experiments/reporting/tables/layout.py",
        ],
    output:
        csv=report(
            "figures/out/{source}/scaling_exponents.csv",
            caption="../figures/captions/scaling_exponents.rst",
            category="4. Tables",
            labels={"table": "Table 1: scaling exponents", "results": "{source}"},
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
        "python -m experiments.reporting.tables.scaling_exponents --input {input.csv} --output {output.csv} > {log} 2>&1"


rule draw_training:
    """Accuracy, iterations and time of the trained classifiers (Figure 3)."""
    input:
        csv="results/{source}/training.csv",
        json="results/{source}/training.json",
        epochs="results/{source}/training_epochs.csv",
        baselines="results/{source}/baselines.csv",
        steps="results/{source}/training_step.csv",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/training.pdf",
        svg=report(
            "figures/out/{source}/training.svg",
            caption="../figures/captions/training.rst",
            category="2. Figures of the paper",
            labels={"figure": "Figure 3: training", "results": "{source}"},
        ),
        png="figures/out/{source}/training.png",
    log:
        "logs/{source}/figures/training.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the training"
    script:
        "../figures/training.py"


rule draw_gradients:
    """Angle and norm of the approximate gradient beside the exact one."""
    input:
        csv="results/{source}/gradients.csv",
        json="results/{source}/gradients.json",
        modules=FIGURE_MODULES,
    output:
        pdf="figures/out/{source}/gradients.pdf",
        svg=report(
            "figures/out/{source}/gradients.svg",
            caption="../figures/captions/gradients.rst",
            category="3. Beyond the paper",
            labels={"figure": "Approximate gradient", "results": "{source}"},
        ),
        png="figures/out/{source}/gradients.png",
    log:
        "logs/{source}/figures/gradients.log",
    conda:
        "../environment.yml"
    message:
        "Drawing the gradients"
    script:
        "../figures/gradients.py"


rule compare_trainings:
    """Accuracy, iterations and time of the trained classifiers beside the baselines."""
    input:
        csv="results/{source}/training.csv",
        epochs="results/{source}/training_epochs.csv",
        baselines="results/{source}/baselines.csv",
        sources=[
            "experiments/reporting/tables/training_accuracy.py",
            "experiments/reporting/tables/layout.py",
        ],
    output:
        csv=report(
            "figures/out/{source}/training_accuracy.csv",
            caption="../figures/captions/training_accuracy.rst",
            category="4. Tables",
            labels={"table": "Trained classifiers", "results": "{source}"},
        ),
        md="figures/out/{source}/training_accuracy.md",
        tex="figures/out/{source}/training_accuracy.tex",
    log:
        "logs/{source}/figures/training_accuracy.log",
    conda:
        "../environment.yml"
    message:
        "Comparing the trained classifiers"
    shell:
        "python -m experiments.reporting.tables.training_accuracy --training {input.csv}"
        " --baselines {input.baselines} --output {output.csv} > {log} 2>&1"


rule judge_claims:
    """The paper's claims judged by the results, and what was found beyond the paper."""
    input:
        results=all_results,
        claims="paper/claims.yaml",
        sources=experiment_sources("reporting.claims"),
    output:
        csv=report(
            "figures/out/{source}/claims.csv",
            caption="../figures/captions/claims.rst",
            category="4. Tables",
            labels={"table": "Claims of the paper", "results": "{source}"},
        ),
        md="figures/out/{source}/claims.md",
        tex="figures/out/{source}/claims.tex",
        findings=report(
            "figures/out/{source}/findings.csv",
            caption="../figures/captions/findings.rst",
            category="4. Tables",
            labels={"table": "Findings beyond the paper", "results": "{source}"},
        ),
        findings_md="figures/out/{source}/findings.md",
        findings_tex="figures/out/{source}/findings.tex",
    log:
        "logs/{source}/figures/claims.log",
    conda:
        "../environment.yml"
    params:
        folder="results/{source}",
    message:
        "Judging the paper's claims"
    shell:
        "python -m experiments.reporting.claims --results {params.folder} --output {output.csv}"
        " --findings {output.findings} > {log} 2>&1"
