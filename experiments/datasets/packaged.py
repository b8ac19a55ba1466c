"""Data files that an installed package carries; the package's code is never imported."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from experiments.datasets.dataset import DatasetError


@dataclass(frozen=True)
class PackagedFile:
    """A data file, and what makes it the one this project knows.

    **Arguments:**

    - `content`: what it holds, for messages.
    - `package`, `version`: the package on PyPI that carries it; it is imported by the same name.
    - `place`: where it lies inside the package.
    - `size`: in bytes.
    - `sha256`: its checksum.
    """

    content: str
    package: str
    version: str
    place: Path
    size: int
    sha256: str

    def path(self) -> Path:
        """Where the installed package has the file.

        **Raises:** `DatasetError` if the package is missing.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise DatasetError(
                f"The package {self.package}, whose data file holds the {self.content}, is not "
                f"installed: run `pip install --no-deps {self.package}=={self.version}`."
            )
        return Path(spec.submodule_search_locations[0]) / self.place

    def read(self, path: Path | None = None) -> bytes:
        """The bytes of the file, once its size and checksum are found right.

        **Arguments:**

        - `path`: a copy of the file; by default the one that the package carries.

        **Raises:** `DatasetError` if the package or the file is missing, or the file is
        truncated, damaged or another.
        """
        path = self.path() if path is None else path
        again = f"install {self.package} {self.version} again."
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path.name} cannot be read ({error.strerror}): {again}") from error
        if len(content) != self.size:
            raise DatasetError(
                f"{path.name} has {len(content)} bytes instead of {self.size}, so it is truncated "
                f"or another version: {again}"
            )
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise DatasetError(
                f"{path.name} has the checksum {found[:12]}... instead of {self.sha256[:12]}..., "
                f"so it is damaged or another version: {again}"
            )
        return content
