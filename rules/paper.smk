# The report: the numbers in its text, and its PDF.


localrules:
    write_numbers,
    compile_report,


rule write_numbers:
    """Every number in the text of the report, from the results of a source."""
    input:
        results=all_results,
        sources=experiment_sources("reporting.document.numbers"),
    output:
        "figures/out/{source}/numbers.json",
    log:
        "logs/{source}/figures/numbers.log",
    conda:
        "../environment.yml"
    message:
        "Writing the numbers of the report"
    shell:
        "python -m experiments.reporting.document.numbers --results results/{wildcards.source}"
        " --output {output} > {log} 2>&1"


rule compile_report:
    """The report as PDF: text, figures and tables of a source."""
    input:
        numbers="figures/out/{source}/numbers.json",
        figures=report_figures,
        tables=report_tables,
        text=["paper/report.typ", "paper/style.typ", "paper/references.bib"],
        sources="experiments/reporting/document/compile.py",
    output:
        report(
            "figures/out/{source}/report.pdf",
            caption="../figures/captions/report.rst",
            category="1. Report",
            labels={"document": "Report as PDF", "results": "{source}"},
        ),
    log:
        "logs/{source}/figures/report.log",
    conda:
        "../environment.yml"
    message:
        "Setting the report"
    shell:
        "python -m experiments.reporting.document.compile --numbers {input.numbers} --figures {input.figures}"
        " --tables {input.tables} --output {output} > {log} 2>&1"
