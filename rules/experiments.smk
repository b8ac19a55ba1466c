# The experiments. They write results/fresh/SCALE only, never an archive.
#
# A rule names the sources of its experiment as inputs: figures made from fresh results
# then always show what the present code does. A new modification time alone reruns
# nothing, since Snakemake compares the contents of small files. A job that measures
# time takes all cores, so that nothing runs beside it, and the one GPU where there is one.


localrules:
    collect_gru_scaling,


rule measure_gru_scaling:
    """Time, iterations and memory of all methods along T, for one batch size and D."""
    input:
        sources=experiment_sources("gru_scaling"),
    output:
        csv=f"results/fresh/{SCALE}/gru_scaling/batch{{batch}}_dim{{dim}}.csv",
        json=f"results/fresh/{SCALE}/gru_scaling/batch{{batch}}_dim{{dim}}.json",
    log:
        f"logs/fresh/{SCALE}/gru_scaling/batch{{batch}}_dim{{dim}}.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        lengths=scaling_lengths,
        methods=config["gru_scaling"]["methods"],
        seeds=config["gru_scaling"]["seeds"],
        repetitions=config["gru_scaling"]["repetitions"],
        warmups=config["gru_scaling"]["warmups"],
        tolerance=config["gru_scaling"]["tolerance"],
        memory_fraction=config["gru_scaling"]["memory_fraction"],
        limit=scaling_limit(),
    message:
        "GRU, batch {wildcards.batch}, D = {wildcards.dim}, T = {params.lengths} (progress: {log})"
    shell:
        "python -m experiments.gru_scaling --batch {wildcards.batch} --dim {wildcards.dim}"
        " --lengths {params.lengths} --methods {params.methods} --seeds {params.seeds}"
        " --repetitions {params.repetitions} --warmups {params.warmups}"
        " --tolerance {params.tolerance} --memory-fraction {params.memory_fraction}"
        " {params.limit} --output {output.csv} > {log} 2>&1"


rule collect_gru_scaling:
    """All curves of gru_scaling in one table."""
    input:
        csv=scaling_curves(".csv"),
        json=scaling_curves(".json"),
    output:
        csv=f"results/fresh/{SCALE}/gru_scaling.csv",
        json=f"results/fresh/{SCALE}/gru_scaling.json",
    log:
        f"logs/fresh/{SCALE}/gru_scaling.log",
    conda:
        "../environment.yml"
    message:
        "Joining the curves of gru_scaling"
    shell:
        "python -m experiments.records collect --inputs {input.csv} --output {output.csv} > {log} 2>&1"


rule compare_gru_accuracy:
    """The states of the parallel methods beside the sequential ones, on noise and on a recording."""
    input:
        sources=experiment_sources("gru_accuracy"),
    output:
        csv=f"results/fresh/{SCALE}/gru_accuracy.csv",
        json=f"results/fresh/{SCALE}/gru_accuracy.json",
    log:
        f"logs/fresh/{SCALE}/gru_accuracy.log",
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        **config["gru_accuracy"],
    message:
        "GRU against sequential evaluation, inputs {params.inputs} (progress: {log})"
    shell:
        "python -m experiments.gru_accuracy --dim {params.dim} --length {params.length}"
        " --shown {params.shown} --methods {params.methods} --seed {params.seed}"
        " --tolerance {params.tolerance} --inputs {params.inputs} --output {output.csv} > {log} 2>&1"
