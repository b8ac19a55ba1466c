# Names to ask for: one for each experiment, and for each figure and table of the paper.


rule figures:
    input:
        [figure_files(name) for name in drawable(FIGURES, SOURCE)],
    """Every figure."""
    localrule: True


rule tables:
    input:
        [table_files(name) for name in drawable(TABLES, SOURCE)],
    """Every table."""
    localrule: True


rule report:
    input:
        f"figures/out/{SOURCE}/report.pdf",
    """The report as PDF: methods, every figure and table, guidance and limits."""
    localrule: True


for target, about in targets().items():

    rule:
        name:
            target
        input:
            files_of_target(target),
        localrule: True

    describe(target, about)
