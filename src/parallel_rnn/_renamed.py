"""Names that have changed. The old ones work until the next version, with a warning."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def warn_renamed(old: str, new: str, stacklevel: int) -> None:
    """Say that a name has changed, to the caller so many frames above."""
    warnings.warn(
        f"`{old}` is now called `{new}`. The old name goes with the next version.",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )


def takes_old_name(old: str, new: str) -> Callable[[Class], Class]:
    """A class whose argument `new` may also be passed by its old name."""

    def decorate(cls: Class) -> Class:
        init: Any = cls.__init__

        @functools.wraps(init)
        def with_old_name(self: Any, *args: Any, **kwargs: Any) -> None:
            if old in kwargs and new not in kwargs:
                # Above this are the two frames in which Equinox makes an object.
                warn_renamed(old, new, stacklevel=4)
                kwargs[new] = kwargs.pop(old)
            init(self, *args, **kwargs)

        cls.__init__ = with_old_name
        return cls

    return decorate
