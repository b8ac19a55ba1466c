"""The code that an experiment's results depend on, found from its imports, and its digest.

Rules have the digest among their parameters: a changed solver makes fresh results again, and a
module that a new import adds cannot be forgotten. The digest is that of the syntax trees without
docstrings, so comments, docstrings and layout do not count. Of the list of methods
(`experiments.harness.methods`) those entries count that the code or the settings name.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

REGISTRY = "experiments/harness/methods.py"
# The name of the list in the registry. Its entries count one by one, the rest as in any module.
ENTRIES = "REGISTERED"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Code(NamedTuple):
    """What a source file says: its digest, the modules that it may import, the texts in it."""

    digest: str
    imports: frozenset[str]
    texts: frozenset[str]


class Entry(NamedTuple):
    """An entry of the list of methods: its digest, and the modules that its solver comes from."""

    digest: str
    modules: tuple[str, ...]


class Sources:
    """The source files of a repository, each parsed once in the life of this object."""

    def __init__(self, root: Path):
        self._root = root
        self._parsed: dict[str, Code] = {}
        self._found: dict[str, tuple[str, ...]] = {}

    def files(self, module: str, named: Iterable[str] = ()) -> list[str]:
        """Paths, relative to the root, of a module and of the project's modules that it needs.

        **Arguments:**

        - `module`: such as `experiments.wide`.
        - `named`: texts of its settings, among them names of methods.
        """
        found, _ = self._needed(module, named)
        return sorted(found)

    def digest(self, *modules: str, named: Iterable[str] = ()) -> str:
        """A checksum of the code of modules and of all that they need; `named` as in `files`."""
        lines: set[str] = set()
        for module in modules:
            found, entries = self._needed(module, named)
            lines |= {f"{path} {code.digest}" for path, code in found.items()}
            lines |= {f"{entry} {self._entries[entry].digest}" for entry in entries}
        return _checksum("\n".join(sorted(lines)))

    def _needed(self, module: str, named: Iterable[str]) -> tuple[dict[str, Code], set[str]]:
        """The files that a module needs, and the methods that they or the settings name."""
        found: dict[str, Code] = {}
        entries: set[str] = set()
        modules, texts = [module], [*{*named} & self._entries.keys()]
        while modules or texts:
            while texts:
                entry = texts.pop()
                if entry not in entries:
                    entries.add(entry)
                    modules += self._entries[entry].modules
            for path in self._places(modules.pop()) if modules else ():
                if path not in found:
                    found[path] = self._code(path)
                    modules += found[path].imports
                    texts += found[path].texts & self._entries.keys()
        return found, entries

    def _places(self, module: str) -> tuple[str, ...]:
        """The files that importing a module runs: `a/__init__.py` and `a/b.py` for a.b."""
        if module not in self._found:
            outer, _, _ = module.rpartition(".")
            place = module.replace(".", "/")
            places = (place, f"{place}/__init__", f"src/{place}", f"src/{place}/__init__")
            own = tuple(f"{one}.py" for one in places if (self._root / f"{one}.py").is_file())
            self._found[module] = (self._places(outer) if outer else ()) + own
        return self._found[module]

    def _code(self, path: str) -> Code:
        if path not in self._parsed:
            tree = _parse(self._root / path)
            if path == REGISTRY:
                tree.body = [one for one in tree.body if not _is_list(one)]
            words, nodes = _read(tree)
            package = path.removeprefix("src/").split("/")[:-1]
            self._parsed[path] = Code(
                _checksum("\n".join(words)),
                frozenset(_imports(nodes, package)),
                # The registry names kinds of methods; whoever uses a method names it elsewhere.
                frozenset() if path == REGISTRY else frozenset(_texts(nodes)),
            )
        return self._parsed[path]

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        """The list of methods, read without running it; empty where a repository has none."""
        if not (self._root / REGISTRY).is_file():
            return {}
        lists = [one for one in _parse(self._root / REGISTRY).body if _is_list(one)]
        return dict(_entry(call) for one in lists for call in one.value.elts)  # type: ignore[attr-defined]


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _read(tree: ast.AST) -> tuple[list[str], list[ast.AST]]:
    """A syntax tree in words, without docstrings and places in the file, and all its nodes.

    What is empty is left out, so that a field that a newer Python adds does not count.
    """
    words: list[str] = []
    nodes: list[ast.AST] = []

    def read(node: ast.AST) -> None:
        nodes.append(node)
        words.append(type(node).__name__)
        for name in node._fields:
            value: Any = getattr(node, name, None)
            if name == "body" and _has_docstring(node):
                value = value[1:]
            for part in value if isinstance(value, list) else (value,):
                if isinstance(part, ast.AST):
                    words.append(name)
                    read(part)
                elif part is not None:
                    words.append(f"{name} {part!r}")
        words.append("end")

    read(tree)
    return words, nodes


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None


def _imports(nodes: Iterable[ast.AST], package: list[str]) -> Iterator[str]:
    """What a file imports, in full; a name from a module may be a module as well."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*outer, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_list(statement: ast.stmt) -> bool:
    """Whether a statement is the list of methods."""
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Tuple)
        and [ast.unparse(target) for target in statement.targets] == [ENTRIES]
    )


def _entry(call: ast.expr) -> tuple[str, Entry]:
    words, nodes = _read(call)
    name, *others = _texts(nodes)
    modules = tuple(text.partition(":")[0] for text in others if ":" in text)
    return name, Entry(_checksum("\n".join(words)), modules)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
