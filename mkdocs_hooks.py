"""What the documentation needs beside MkDocs (mkdocs.yml names this file).

Figures of the archives are drawn first, parts of pages follow from them, every example has a page
with its recorded output, formulas become MathML, and public names links to where they are
described.
"""

import logging
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.exceptions import Abort
from mkdocs.structure.files import File

from experiments.reporting.site import examples, formulas, names, outputs, parts, pictures, workflow

LOG = logging.getLogger("mkdocs.hooks")
ROOT = Path(__file__).resolve().parent


@cache
def all_parts() -> dict[str, str]:
    return parts.make(ROOT)


def on_startup(**_: Any) -> None:
    LOG.info("Drawing what is missing of the figures of all archives (once, some minutes) ...")
    try:
        pictures.draw(ROOT)
    except pictures.DrawingError as error:
        raise Abort(str(error)) from error


def on_config(config):
    section = next(one["Examples"] for one in config.nav if "Examples" in one)
    section += [examples.uri(script) for script in examples.scripts(ROOT)]
    return config


def on_files(files, *, config):
    for script in examples.scripts(ROOT):
        try:
            content = examples.page(script)
        except outputs.RecordError as error:
            raise Abort(str(error)) from error
        files.append(File.generated(config, examples.uri(script), content=content))
    for uri, path in pictures.files(ROOT):
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, *, page, **_: Any) -> str:
    try:
        return parts.filled(page.file.src_uri, markdown, all_parts())
    except (parts.PartError, workflow.WorkflowError) as error:
        raise Abort(str(error)) from error


def on_page_content(html, **_: Any) -> str:
    return names.linked(formulas.shown(html), names.public(ROOT))
