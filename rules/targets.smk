# Names to ask for: one for each experiment, and for each figure and table of the paper.


rule figures:
    """Every figure."""
    input:
        [figure_files(name) for name in drawable(FIGURES, SOURCE)],
    localrule: True


rule tables:
    """Every table."""
    input:
        [table_files(name) for name in drawable(TABLES, SOURCE)],
    localrule: True


rule report:
    """The report as PDF: methods, every figure and table, guidance and limits."""
    input:
        f"figures/out/{SOURCE}/report.pdf",
    localrule: True


for target, about in targets().items():

    rule:
        name:
            target
        input:
            files_of_target(target),
        localrule: True

    describe(target, about)
