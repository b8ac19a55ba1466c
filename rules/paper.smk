# The report: the numbers in its text, and its PDF.


rule write_numbers:
    """Every number in the text of the report, from the results of a source; the abstract has more."""
    input:
        results=all_results,
        beside=results_of_those_beside,
    output:
        "figures/out/{source}/numbers.json",
    log:
        "logs/{source}/figures/numbers.log",
    localrule: True
    conda:
        "../environment.yml"
    params:
        beside=folders_beside,
        code=code("experiments.reporting.document.numbers"),
    message:
        "Writing the numbers of the report"
    shell:
        "python -m experiments.reporting.document.numbers --results results/{wildcards.source:q}"
        " --beside {params.beside} --output {output:q} > {log:q} 2>&1"


rule compile_report:
    """The report as PDF: text, figures and tables of a source."""
    input:
        numbers="figures/out/{source}/numbers.json",
        figures=report_files(FIGURES, ".pdf"),
        tables=report_files(TABLES, ".md"),
        text=["paper/report.typ", "paper/style.typ", "paper/references.bib"],
    output:
        report(
            "figures/out/{source}/report.pdf",
            caption="../figures/captions/report.rst",
            category="1. Report",
            labels={"document": "Report as PDF", "results": "{source}"},
        ),
    log:
        "logs/{source}/figures/report.log",
    localrule: True
    conda:
        "../environment.yml"
    params:
        code=code("experiments.reporting.document.compile"),
    message:
        "Setting the report"
    shell:
        "python -m experiments.reporting.document.compile --numbers {input.numbers:q} --figures {input.figures:q}"
        " --tables {input.tables:q} --output {output:q} > {log:q} 2>&1"
