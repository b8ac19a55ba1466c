# The experiments. They write results/fresh/SCALE only, never an archive.
#
# A rule has the digest of its experiment's code among its parameters: figures made from fresh
# results then always show what the present code does, and a comment runs nothing again. A job that
# measures time takes all cores, so that nothing runs beside it, and the one GPU where there is one.


rule measure_gru_scaling:
    """Time, iterations and memory of all methods along T, for one batch size and D."""
    output:
        csv=f"results/fresh/{SCALE}/gru_scaling/batch{{batch}}_dim{{dim}}.csv",
        json=f"results/fresh/{SCALE}/gru_scaling/batch{{batch}}_dim{{dim}}.json",
    log:
        f"logs/fresh/{SCALE}/gru_scaling/batch{{batch}}_dim{{dim}}.log",
    priority: curve_worth("gru_scaling")
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        code=code("experiments.gru_scaling", section="gru_scaling"),
        options=options("gru_scaling"),
        lengths=curve_lengths("gru_scaling"),
    message:
        "GRU, batch {wildcards.batch}, D = {wildcards.dim}, T = {params.lengths} (progress: {log})"
    shell:
        "python -m experiments.gru_scaling {params.options} --batch {wildcards.batch}"
        " --dim {wildcards.dim} --lengths {params.lengths}"
        " --output {output.csv:q} > {log:q} 2>&1"


rule install_gpu_compiler:
    """A compiler for GPUs that are not there, in a folder of its own (about 500 MB)."""
    input:
        lock="requirements-gpu.lock",
    output:
        folder=directory("results/fresh/gpu_compiler"),
    log:
        "logs/fresh/gpu_compiler.log",
    conda:
        "../environment.yml"
    params:
        code=code("experiments.gpu.compiler"),
    message:
        "Installing a compiler for GPUs (log: {log})"
    shell:
        "python -m experiments.gpu.compiler --folder {output.folder:q} > {log:q} 2>&1"


rule measure_gpu_memory:
    """Memory and kernels of all methods along T on one GPU, for one batch size and D."""
    input:
        compiler="results/fresh/gpu_compiler",
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
        code=code("experiments.gpu_memory", section="gpu_memory"),
        options=options("gpu_memory"),
        lengths=curve_lengths("gpu_memory"),
    message:
        "Compiling for {wildcards.target}, batch {wildcards.batch}, D = {wildcards.dim} (progress: {log})"
    shell:
        "JAX_PLATFORMS=cpu PYTHONPATH={input.compiler:q}${{PYTHONPATH:+:$PYTHONPATH}}"
        " python -m experiments.gpu_memory {params.options} --compiler {input.compiler:q}"
        " --target {wildcards.target} --batch {wildcards.batch} --dim {wildcards.dim}"
        " --lengths {params.lengths} --output {output.csv:q} > {log:q} 2>&1"


for name, over in (("gru_scaling", ""), ("gpu_memory", "targets")):

    rule:
        name:
            f"collect_{name}"
        input:
            csv=curves(name, ".csv", over),
            json=curves(name, ".json", over),
        output:
            csv=f"results/fresh/{SCALE}/{name}.csv",
            json=f"results/fresh/{SCALE}/{name}.json",
        log:
            f"logs/fresh/{SCALE}/{name}.log",
        localrule: True
        conda:
            "../environment.yml"
        message:
            "Joining the curves: {output.csv}"
        shell:
            "python -m experiments.harness.records collect --inputs {input.csv:q} --output {output.csv:q}"
            " > {log:q} 2>&1"

    describe(f"collect_{name}", f"All curves of {name} in one table.")


rule measure_argru_training:
    """The AR GRU, trained on noisy sine waves by maximum likelihood."""
    output:
        weights=f"results/fresh/{SCALE}/argru_weights.npz",
        csv=f"results/fresh/{SCALE}/argru_training.csv",
        json=f"results/fresh/{SCALE}/argru_training.json",
    log:
        f"logs/fresh/{SCALE}/argru_training.log",
    priority: weights_worth()
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        code=code("experiments.problems.argru_training"),
        options=options("argru.training"),
    message:
        "Training the AR GRU (progress: {log})"
    shell:
        "python -m experiments.problems.argru_training {params.options} --weights {output.weights:q}"
        " --output {output.csv:q} > {log:q} 2>&1"


rule measure_argru_training_seed:
    """The AR GRU, trained as the other one, from a seed of its own."""
    output:
        weights=f"results/fresh/{SCALE}/argru_training/seed{{seed}}.npz",
        csv=f"results/fresh/{SCALE}/argru_training/seed{{seed}}.csv",
        json=f"results/fresh/{SCALE}/argru_training/seed{{seed}}.json",
    log:
        f"logs/fresh/{SCALE}/argru_training/seed{{seed}}.log",
    wildcard_constraints:
        seed="[0-9]+",
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        code=code("experiments.problems.argru_training"),
        options=options("argru.training", without=["seed"]),
    message:
        "Training the AR GRU from seed {wildcards.seed} (progress: {log})"
    shell:
        "python -m experiments.problems.argru_training {params.options} --seed {wildcards.seed}"
        " --weights {output.weights:q} --output {output.csv:q} > {log:q} 2>&1"


rule measure_argru_seeds:
    """Iterations of all methods on the AR GRUs that were trained from several seeds."""
    input:
        weights=expand(
            rules.measure_argru_training_seed.output.weights,
            seed=config["argru"]["seeds"]["seeds"],
        ),
    output:
        csv=f"results/fresh/{SCALE}/argru_seeds.csv",
        json=f"results/fresh/{SCALE}/argru_seeds.json",
    log:
        f"logs/fresh/{SCALE}/argru_seeds.log",
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        code=code("experiments.argru_seeds", section="argru.seeds"),
        options=options("argru.seeds"),
    message:
        "AR GRU, seeds of the training (progress: {log})"
    shell:
        "python -m experiments.argru_seeds {params.options} --weights {input.weights:q}"
        " --output {output.csv:q} > {log:q} 2>&1"


rule measure_argru:
    """MAD against iterations of all methods on the AR GRU, some iterates, and times."""
    input:
        weights=argru_weights(),
    output:
        csv=f"results/fresh/{SCALE}/argru.csv",
        json=f"results/fresh/{SCALE}/argru.json",
        mad=f"results/fresh/{SCALE}/argru_mad.csv",
        iterates=f"results/fresh/{SCALE}/argru_iterates.csv",
        times=f"results/fresh/{SCALE}/argru_times.csv",
    log:
        f"logs/fresh/{SCALE}/argru.log",
    priority: worth("argru")
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        code=code("experiments.argru", section="argru.convergence"),
        options=options("argru.convergence"),
        untrained_seed=config["argru"]["training"]["seed"],
    message:
        "AR GRU, MAD against iterations (progress: {log})"
    shell:
        "python -m experiments.argru {params.options} --weights {input.weights:q}"
        " --untrained-seed {params.untrained_seed} --output {output.csv:q} > {log:q} 2>&1"


rule measure_training:
    """A classifier of recordings, trained by one method: every update, and every epoch."""
    output:
        csv=f"results/fresh/{SCALE}/training/{{variant}}.csv",
        json=f"results/fresh/{SCALE}/training/{{variant}}.json",
        epochs=f"results/fresh/{SCALE}/training/{{variant}}_epochs.csv",
    log:
        f"logs/fresh/{SCALE}/training/{{variant}}.log",
    wildcard_constraints:
        variant="|".join(config["training"]["variants"]),
    priority: worth("training")
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        code=code("experiments.training", section="training"),
        options=options("training", without=["variants"]),
    message:
        "Training a classifier, {wildcards.variant} (progress: {log})"
    shell:
        "python -m experiments.training {params.options} --variant {wildcards.variant}"
        " --output {output.csv:q} > {log:q} 2>&1"


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
    localrule: True
    conda:
        "../environment.yml"
    message:
        "Joining the trainings"
    shell:
        "python -m experiments.harness.records collect --inputs {input.csv:q} --beside epochs"
        " --output {output.csv:q} > {log:q} 2>&1"


# All others have the same form.
for one in EXPERIMENTS:
    if one.own_rule:
        continue

    rule:
        name:
            f"measure_{one.name}"
        input:
            weights_of(one),
        output:
            csv=f"results/fresh/{SCALE}/{one.name}.csv",
            json=f"results/fresh/{SCALE}/{one.name}.json",
            tables=tables_of(one),
        log:
            f"logs/fresh/{SCALE}/{one.name}.log",
        priority: worth(one.name)
        conda:
            "../environment.yml"
        threads: workflow.cores if one.timed else 1
        resources:
            gpu=1,
        params:
            module=f"experiments.{one.name}",
            code=code(
                f"experiments.{one.name}", section=one.section or one.name, without=one.left_out
            ),
            options=options(one.section or one.name, one.left_out),
            weights=weights_option(one),
        message:
            "{params.module} (progress: {log})"
        shell:
            "python -m {params.module} {params.options} {params.weights}"
            " --output {output.csv:q} > {log:q} 2>&1"

    describe(f"measure_{one.name}", one.about)
