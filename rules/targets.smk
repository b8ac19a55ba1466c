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


# Snakemake takes a name that is no rule for a file, and then finds this rule to make it.
rule refuse_unknown_target:
    """No target: says which there are, where another is asked for."""
    input:
        refuse_unknown_target,
    output:
        "{unknown_target}",
    wildcard_constraints:
        unknown_target=no_file(),
    localrule: True
