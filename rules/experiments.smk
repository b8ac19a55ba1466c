# The experiments. They write results/fresh/SCALE only, never an archive.
#
# A rule names the sources of its experiment as inputs: figures made from fresh results
# then always show what the present code does. A new modification time alone reruns
# nothing, since Snakemake compares the contents of small files. A job that measures
# time takes all cores, so that nothing runs beside it, and the one GPU where there is one.


localrules:
    collect_gru_scaling,
    collect_gpu_memory,
    collect_training,


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
        options=options("gru_scaling"),
        lengths=scaling_lengths,
    message:
        "GRU, batch {wildcards.batch}, D = {wildcards.dim}, T = {params.lengths} (progress: {log})"
    shell:
        "python -m experiments.gru_scaling {params.options} --batch {wildcards.batch}"
        " --dim {wildcards.dim} --lengths {params.lengths}"
        " --output {output.csv} > {log} 2>&1"


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
        "python -m experiments.harness.records collect --inputs {input.csv} --output {output.csv} > {log} 2>&1"


rule install_gpu_compiler:
    """A compiler for GPUs that are not there, in a folder of its own (about 500 MB)."""
    input:
        lock="requirements-gpu.lock",
        sources=experiment_sources("gpu.compiler"),
    output:
        folder=directory("results/fresh/gpu_compiler"),
    log:
        "logs/fresh/gpu_compiler.log",
    conda:
        "../environment.yml"
    message:
        "Installing a compiler for GPUs (log: {log})"
    shell:
        "python -m experiments.gpu.compiler --folder {output.folder} > {log} 2>&1"


rule compile_gpu_memory:
    """Memory and kernels of all methods along T on one GPU, for one batch size and D."""
    input:
        compiler="results/fresh/gpu_compiler",
        sources=experiment_sources("gpu_memory"),
    output:
        csv=f"results/fresh/{SCALE}/gpu_memory/{{target}}_batch{{batch}}_dim{{dim}}.csv",
        json=f"results/fresh/{SCALE}/gpu_memory/{{target}}_batch{{batch}}_dim{{dim}}.json",
    log:
        f"logs/fresh/{SCALE}/gpu_memory/{{target}}_batch{{batch}}_dim{{dim}}.log",
    wildcard_constraints:
        target="[a-z0-9]+",
    conda:
        "../environment.yml"
    params:
        options=options("gpu_memory"),
        lengths=gpu_memory_lengths,
    message:
        "Compiling for {wildcards.target}, batch {wildcards.batch}, D = {wildcards.dim} (progress: {log})"
    shell:
        "JAX_PLATFORMS=cpu PYTHONPATH={input.compiler}${{PYTHONPATH:+:$PYTHONPATH}}"
        " python -m experiments.gpu_memory {params.options} --compiler {input.compiler}"
        " --target {wildcards.target} --batch {wildcards.batch} --dim {wildcards.dim}"
        " --lengths {params.lengths} --output {output.csv} > {log} 2>&1"


rule collect_gpu_memory:
    """All curves of gpu_memory in one table."""
    input:
        csv=gpu_memory_curves(".csv"),
        json=gpu_memory_curves(".json"),
    output:
        csv=f"results/fresh/{SCALE}/gpu_memory.csv",
        json=f"results/fresh/{SCALE}/gpu_memory.json",
    log:
        f"logs/fresh/{SCALE}/gpu_memory.log",
    conda:
        "../environment.yml"
    message:
        "Joining the curves of gpu_memory"
    shell:
        "python -m experiments.harness.records collect --inputs {input.csv} --output {output.csv} > {log} 2>&1"


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
        options=options("gru_accuracy"),
    message:
        "GRU beside sequential evaluation (progress: {log})"
    shell:
        "python -m experiments.gru_accuracy {params.options} --output {output.csv} > {log} 2>&1"


rule train_argru:
    """The AR GRU, trained on noisy sine waves by maximum likelihood."""
    input:
        sources=experiment_sources("problems.argru_training"),
    output:
        weights=f"results/fresh/{SCALE}/argru_weights.npz",
        csv=f"results/fresh/{SCALE}/argru_training.csv",
        json=f"results/fresh/{SCALE}/argru_training.json",
    log:
        f"logs/fresh/{SCALE}/argru_training.log",
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        options=options("argru.training"),
    message:
        "Training the AR GRU (progress: {log})"
    shell:
        "python -m experiments.problems.argru_training {params.options} --weights {output.weights}"
        " --output {output.csv} > {log} 2>&1"


rule converge_argru:
    """MAD against iterations of all methods on the AR GRU, some iterates, and times."""
    input:
        sources=experiment_sources("argru"),
        weights=argru_weights(),
    output:
        csv=f"results/fresh/{SCALE}/argru.csv",
        json=f"results/fresh/{SCALE}/argru.json",
        mad=f"results/fresh/{SCALE}/argru_mad.csv",
        iterates=f"results/fresh/{SCALE}/argru_iterates.csv",
        times=f"results/fresh/{SCALE}/argru_times.csv",
    log:
        f"logs/fresh/{SCALE}/argru.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("argru.convergence"),
        untrained_seed=config["argru"]["training"]["seed"],
    message:
        "AR GRU, MAD against iterations (progress: {log})"
    shell:
        "python -m experiments.argru {params.options} --weights {input.weights:q}"
        " --untrained-seed {params.untrained_seed} --output {output.csv} > {log} 2>&1"


rule sweep_argru:
    """MAD and iterations of ELK and quasi-ELK on the trained AR GRU against the damping."""
    input:
        sources=experiment_sources("argru_sweep"),
        weights=argru_weights(),
    output:
        csv=f"results/fresh/{SCALE}/argru_sweep.csv",
        json=f"results/fresh/{SCALE}/argru_sweep.json",
    log:
        f"logs/fresh/{SCALE}/argru_sweep.log",
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        options=options("argru.sweep"),
    message:
        "AR GRU, damping swept (progress: {log})"
    shell:
        "python -m experiments.argru_sweep {params.options} --weights {input.weights:q}"
        " --output {output.csv} > {log} 2>&1"


rule sweep_lorenz96:
    """MAD and iterations of the methods on Lorenz96, with ELK's damping swept; some iterates."""
    input:
        sources=experiment_sources("lorenz96"),
    output:
        csv=f"results/fresh/{SCALE}/lorenz96.csv",
        json=f"results/fresh/{SCALE}/lorenz96.json",
        convergence=f"results/fresh/{SCALE}/lorenz96_convergence.csv",
        iterates=f"results/fresh/{SCALE}/lorenz96_iterates.csv",
    log:
        f"logs/fresh/{SCALE}/lorenz96.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("lorenz96"),
    message:
        "Lorenz96, damping swept (progress: {log})"
    shell:
        "python -m experiments.lorenz96 {params.options} --output {output.csv} > {log} 2>&1"


rule measure_chaos:
    """Iterations and time of the methods, and Lyapunov exponents, from stable to chaotic systems."""
    input:
        sources=experiment_sources("chaos"),
        weights=argru_weights(),
    output:
        csv=f"results/fresh/{SCALE}/chaos.csv",
        json=f"results/fresh/{SCALE}/chaos.json",
        exponents=f"results/fresh/{SCALE}/chaos_exponents.csv",
    log:
        f"logs/fresh/{SCALE}/chaos.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("chaos"),
    message:
        "Lorenz96, a tanh network and the AR GRU against their Lyapunov exponents (progress: {log})"
    shell:
        "python -m experiments.chaos {params.options} --weights {input.weights:q}"
        " --output {output.csv} > {log} 2>&1"


rule sweep_damping:
    """Iterations of the damped methods against the damping, and spectral radii."""
    input:
        sources=experiment_sources("damping"),
        weights=argru_weights(),
    output:
        csv=f"results/fresh/{SCALE}/damping.csv",
        json=f"results/fresh/{SCALE}/damping.json",
        radius=f"results/fresh/{SCALE}/damping_radius.csv",
    log:
        f"logs/fresh/{SCALE}/damping.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("damping"),
    message:
        "What damping does (progress: {log})"
    shell:
        "python -m experiments.damping {params.options} --weights {input.weights:q}"
        " --output {output.csv} > {log} 2>&1"


rule measure_windows:
    """Iterations, work and time of all methods against the length of the window."""
    input:
        sources=experiment_sources("windows"),
        weights=argru_weights(),
    output:
        csv=f"results/fresh/{SCALE}/windows.csv",
        json=f"results/fresh/{SCALE}/windows.json",
    log:
        f"logs/fresh/{SCALE}/windows.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("windows"),
    message:
        "Windows of several lengths (progress: {log})"
    shell:
        "python -m experiments.windows {params.options} --weights {input.weights:q}"
        " --output {output.csv} > {log} 2>&1"


rule measure_wide:
    """Time of wide GRUs, sequentially and by quasi-DEER, against D."""
    input:
        sources=experiment_sources("wide"),
    output:
        csv=f"results/fresh/{SCALE}/wide.csv",
        json=f"results/fresh/{SCALE}/wide.json",
    log:
        f"logs/fresh/{SCALE}/wide.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("wide"),
    message:
        "Wide GRUs (progress: {log})"
    shell:
        "python -m experiments.wide {params.options} --output {output.csv} > {log} 2>&1"


rule measure_architectures:
    """Iterations, time and error of every cell with every method, untrained and trained."""
    input:
        sources=experiment_sources("architectures"),
    output:
        csv=f"results/fresh/{SCALE}/architectures.csv",
        json=f"results/fresh/{SCALE}/architectures.json",
    log:
        f"logs/fresh/{SCALE}/architectures.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("architectures"),
    message:
        "Every cell with every method (progress: {log})"
    shell:
        "python -m experiments.architectures {params.options} --output {output.csv} > {log} 2>&1"


rule train_classifier:
    """A classifier of recordings, trained by one method: every update, and every epoch."""
    input:
        sources=experiment_sources("training"),
    output:
        csv=f"results/fresh/{SCALE}/training/{{variant}}.csv",
        json=f"results/fresh/{SCALE}/training/{{variant}}.json",
        epochs=f"results/fresh/{SCALE}/training/{{variant}}_epochs.csv",
    log:
        f"logs/fresh/{SCALE}/training/{{variant}}.log",
    wildcard_constraints:
        variant="|".join(config["training"]["variants"]),
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("training", without=["variants"]),
    message:
        "Training a classifier, {wildcards.variant} (progress: {log})"
    shell:
        "python -m experiments.training {params.options} --variant {wildcards.variant}"
        " --output {output.csv} > {log} 2>&1"


rule collect_training:
    """All trainings in one table of updates and one of epochs."""
    input:
        csv=training_curves(".csv"),
        json=training_curves(".json"),
        epochs=training_curves("_epochs.csv"),
    output:
        csv=f"results/fresh/{SCALE}/training.csv",
        json=f"results/fresh/{SCALE}/training.json",
        epochs=f"results/fresh/{SCALE}/training_epochs.csv",
    log:
        f"logs/fresh/{SCALE}/training.log",
    conda:
        "../environment.yml"
    message:
        "Joining the trainings"
    shell:
        "python -m experiments.harness.records collect --inputs {input.csv} --beside epochs"
        " --output {output.csv} > {log} 2>&1"


rule judge_baselines:
    """The accuracy of the majority and of a linear probe on the recordings."""
    input:
        sources=experiment_sources("baselines"),
    output:
        csv=f"results/fresh/{SCALE}/baselines.csv",
        json=f"results/fresh/{SCALE}/baselines.json",
    log:
        f"logs/fresh/{SCALE}/baselines.log",
    conda:
        "../environment.yml"
    params:
        options=options("training", without=["variants"]),
    message:
        "Baselines of the classifier (progress: {log})"
    shell:
        "python -m experiments.baselines {params.options} --output {output.csv} > {log} 2>&1"


rule compare_gradients:
    """The approximate gradient of the paper beside the exact one, along a training."""
    input:
        sources=experiment_sources("gradients"),
    output:
        csv=f"results/fresh/{SCALE}/gradients.csv",
        json=f"results/fresh/{SCALE}/gradients.json",
    log:
        f"logs/fresh/{SCALE}/gradients.log",
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        options=options("training", without=["variants"]),
    message:
        "Exact and approximate gradients (progress: {log})"
    shell:
        "python -m experiments.gradients {params.options} --output {output.csv} > {log} 2>&1"


rule measure_training_step:
    """Time of an update at the size of EigenWorms, on random numbers."""
    input:
        sources=experiment_sources("training_step"),
    output:
        csv=f"results/fresh/{SCALE}/training_step.csv",
        json=f"results/fresh/{SCALE}/training_step.json",
    log:
        f"logs/fresh/{SCALE}/training_step.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        options=options("training_step"),
    message:
        "Time of an update at the size of EigenWorms (progress: {log})"
    shell:
        "python -m experiments.training_step {params.options} --output {output.csv} > {log} 2>&1"
