"""The source files that an experiment's results depend on, found from its imports.

Rules name them as inputs: a changed solver makes fresh results again, and a module
that a new import adds cannot be forgotten.
"""

import ast
from collections.abc import Iterator
from pathlib import Path


def sources(root: Path, module: str) -> list[str]:
    """Paths, relative to `root`, of a module and of the project's modules it imports."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(root, name)
        if path is not None and path not in found:
            found.add(path)
            waiting += _imports(root, path)
        if "." in name:  # importing a.b runs a/__init__.py as well
            waiting.append(name.rpartition(".")[0])
    return sorted(path.relative_to(root).as_posix() for path in found)


def _file(root: Path, module: str) -> Path | None:
    place = module.replace(".", "/")
    for base in (root, root / "src"):
        for path in (base / f"{place}.py", base / place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _imports(root: Path, path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = _package(root, path, node.level) + (node.module or "")
            yield package.rstrip(".")
            yield from (f"{package.rstrip('.')}.{alias.name}" for alias in node.names)


def _package(root: Path, path: Path, level: int) -> str:
    """What a relative import of this level starts with; nothing for an absolute one."""
    if level == 0:
        return ""
    base = root / "src" if path.is_relative_to(root / "src") else root
    return ".".join(path.parents[level - 1].relative_to(base).parts) + "."
