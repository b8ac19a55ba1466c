# Figures and tables. They read results/{source} and write figures/out/{source}: from an
# archive they never start an experiment, because no rule writes results/archived.


# What scripts import.
DRAWING = code(*(f"figures.{name}" for name in sorted(SHARED_SCRIPTS)))

for one in FIGURES:

    rule:
        name:
            f"draw_{one.name}"
        input:
            further_results(one),
            csv=f"results/{{source}}/{one.experiment}.csv",
            json=f"results/{{source}}/{one.experiment}.json",
        output:
            pdf=f"figures/out/{{source}}/{one.name}.pdf",
            svg=report(
                f"figures/out/{{source}}/{one.name}.svg",
                caption=f"../figures/captions/{one.script or one.name}.rst",
                category=one.category,
                labels={"figure": one.label, "results": "{source}"},
            ),
            png=f"figures/out/{{source}}/{one.name}.png",
        log:
            f"logs/{{source}}/figures/{one.name}.log",
        localrule: True
        conda:
            "../environment.yml"
        params:
            script=one.script or one.name,
            batch=one.batch,
            code=DRAWING,
        message:
            "Drawing {output.pdf}"
        script:
            "../figures/{params.script}.py"

    describe(f"draw_{one.name}", one.about)


for one in TABLES:
    if one.own_rule:
        continue

    rule:
        name:
            f"make_{one.name}"
        input:
            further_results(one),
            csv=f"results/{{source}}/{one.experiment}.csv",
            json=f"results/{{source}}/{one.experiment}.json",
        output:
            csv=report(
                f"figures/out/{{source}}/{one.name}.csv",
                caption=f"../figures/captions/{one.name}.rst",
                category=TABLES_CATEGORY,
                labels={"table": one.label, "results": "{source}"},
            ),
            md=f"figures/out/{{source}}/{one.name}.md",
            tex=f"figures/out/{{source}}/{one.name}.tex",
        log:
            f"logs/{{source}}/figures/{one.name}.log",
        localrule: True
        conda:
            "../environment.yml"
        params:
            module=f"experiments.reporting.tables.{one.module or one.name}",
            code=code(f"experiments.reporting.tables.{one.module or one.name}"),
        message:
            "Making {output.csv}"
        shell:
            "python -m {params.module} --results results/{wildcards.source:q} --output {output.csv:q}"
            " > {log:q} 2>&1"

    describe(f"make_{one.name}", one.about)


rule judge_claims:
    """The paper's claims judged by the results, and what was found beyond the paper."""
    input:
        results=all_results,
        beside=results_of_those_beside,
        claims="paper/claims.yaml",
    output:
        csv=report(
            "figures/out/{source}/claims.csv",
            caption="../figures/captions/claims.rst",
            category=TABLES_CATEGORY,
            labels={"table": "Claims of the paper", "results": "{source}"},
        ),
        md="figures/out/{source}/claims.md",
        tex="figures/out/{source}/claims.tex",
        findings=report(
            "figures/out/{source}/findings.csv",
            caption="../figures/captions/findings.rst",
            category=TABLES_CATEGORY,
            labels={"table": "Findings beyond the paper", "results": "{source}"},
        ),
        findings_md="figures/out/{source}/findings.md",
        findings_tex="figures/out/{source}/findings.tex",
    log:
        "logs/{source}/figures/claims.log",
    localrule: True
    conda:
        "../environment.yml"
    params:
        folder="results/{source}",
        beside=folders_beside,
        code=code("experiments.reporting.claims"),
    message:
        "Judging the paper's claims"
    shell:
        "python -m experiments.reporting.claims --results {params.folder:q} --beside {params.beside}"
        " --output {output.csv:q} --findings {output.findings:q} > {log:q} 2>&1"
