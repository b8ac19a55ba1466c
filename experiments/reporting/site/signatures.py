"""An extension of Griffe: an Equinox module has the signature that its fields make."""

from typing import Any

import griffe

# What `equinox.Module` does to a class without naming it.
DATACLASS = griffe.Decorator(griffe.ExprName("dataclasses.dataclass"), lineno=None, endlineno=None)
FIELD = griffe.ExprName("dataclasses.field")
# Classes with these bases have no fields.
OTHERS = {"Enumeration", "NamedTuple", "Protocol", "RuntimeError"}


class ModuleSignatures(griffe.Extension):
    """Has Griffe, which reads code without running it, treat modules as dataclasses."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        bases = {str(base).rpartition(".")[2] for base in cls.bases}
        if bases and not bases & OTHERS:
            cls.decorators.append(DATACLASS)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        value = attr.value
        if isinstance(value, griffe.ExprCall) and value.canonical_path == "equinox.field":
            value.function = FIELD
