"""What the catalogue has entries for: an experiment, a figure, a table."""

from typing import NamedTuple

# Where the HTML report lists a figure, and all tables.
PAPER = "2. Figures of the paper"
BEYOND = "3. Beyond the paper"
TABLES_CATEGORY = "4. Tables"


class Experiment(NamedTuple):
    """A module in experiments/ that writes results/fresh/SCALE/NAME.csv and a record beside it.

    - `about`: what it measures, as the list of targets says it.
    - `section`: its settings in config/schema.yaml; that of its own name if there is none here.
    - `left_out`: settings of the section that it does not take.
    - `tables`: further tables that it writes, NAME_TABLE.csv.
    - `timed`: whether it measures time, so that nothing may run beside it.
    - `weights`: whether it needs the weights of the AR GRU.
    - `own_rule`: whether rules/experiments.smk has a rule of its own for it.
    - `target`: the target that it belongs to; one of its own name if there is none here.
    """

    name: str
    about: str
    section: str = ""
    left_out: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    timed: bool = False
    weights: bool = False
    own_rule: bool = False
    target: str = ""

    @property
    def stems(self) -> list[str]:
        """The names of all result tables that it writes."""
        return [self.name, *(f"{self.name}_{table}" for table in self.tables)]


class Figure(NamedTuple):
    """A picture figures/out/SOURCE/NAME.pdf, .svg and .png, drawn by figures/SCRIPT.py.

    - `experiment`: whose results it shows.
    - `label`: what the HTML report calls it; its caption is figures/captions/SCRIPT.rst.
    - `about`: what it shows, as the list of targets says it.
    - `script`: the script; that of the figure's name if there is none here.
    - `further`: further result tables that the script reads.
    - `batch`: the batch size that it shows, where a script draws several.
    - `target`: a target of its own, such as `figure_8`.
    """

    name: str
    experiment: str
    label: str
    about: str
    category: str = BEYOND
    script: str = ""
    further: tuple[str, ...] = ()
    batch: int = 0
    target: str = ""


class Table(NamedTuple):
    """A table figures/out/SOURCE/NAME.csv, .md and .tex, made by reporting/tables/MODULE.py.

    - `experiment`: whose results it shows; nothing where it makes do with what there is.
    - `label`: what the HTML report calls it; its caption is figures/captions/NAME.rst.
    - `further`: further result tables that the module reads.
    - `module`: the module; that of the table's name if there is none here. `plain` shows results as
      they are.
    - `own_rule`: whether rules/figures.smk has a rule of its own for it.
    """

    name: str
    experiment: str
    label: str
    about: str
    further: tuple[str, ...] = ()
    module: str = ""
    own_rule: bool = False
