# Runs the experiments and draws the figures and tables: ./run snakemake --cores all
# config/README.md explains the configuration, `snakemake --list` the targets.

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


# What the page of `snakemake --report` begins with.
report: "paper/workflow.rst"


include: "rules/common.smk"


config = complete_configuration(config)
SCALE = config["scale"]
SOURCE = results_folder(config)
BESIDE = results_beside(Path(workflow.basedir), config)


wildcard_constraints:
    source="fresh/[^/]+|archived/[^/]+",
    batch="[0-9]+",
    dim="[0-9]+",


include: "rules/experiments.smk"
include: "rules/figures.smk"
include: "rules/paper.smk"
include: "rules/targets.smk"


rule all:
    """Every figure and table, and the results they need (what a call without a target makes)."""
    default_target: True
    input:
        rules.figures.input,
        rules.tables.input,
        rules.report.input,
    localrule: True


onstart:
    refuse_second_run()
    tell_what_an_archive_lacks()
