"""Downloads EigenWorms; what comes is used only if its checksum is the one asked for."""

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from experiments.datasets.dataset import DatasetError
from experiments.datasets.eigenworms import EIGENWORMS_FILES

EIGENWORMS_ADDRESS = "https://www.timeseriesclassification.com/aeon-toolkit/EigenWorms.zip"
_ARCHIVE = "EigenWorms.zip"
_TIMEOUT_S = 60
_BY_HAND = "or get EigenWorms.zip by hand and put it into the folder."


def fetch_eigenworms(
    folder: Path, sha256: str | None = None, address: str = EIGENWORMS_ADDRESS
) -> None:
    """Puts the two files of EigenWorms into a folder.

    A complete download stays in the folder as `EigenWorms.zip` until it is unpacked, and one
    that lies there is not downloaded again. Without a checksum the first call tells the one it
    found, and a second call that is given it unpacks.

    **Arguments:**

    - `folder`: is made if it does not exist.
    - `sha256`: the checksum of the archive, `None` if it is not known yet.
    - `address`: of the archive.

    **Raises:** `DatasetError` if the download fails or is truncated, its checksum is another or
    none was given, or the archive is damaged. The folder then has no new file of EigenWorms.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / _ARCHIVE
    with tempfile.TemporaryDirectory(dir=folder, prefix=".eigenworms-") as temporary:
        if not archive.exists():
            _download(address, Path(temporary, _ARCHIVE))
            os.replace(Path(temporary, _ARCHIVE), archive)
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is None:
            raise DatasetError(
                f"{archive} has the sha256 {found} and none was given to compare it with: if you "
                f"trust where it is from, run this again with --sha256 {found}."
            )
        if found != sha256.lower():
            raise DatasetError(
                f"{archive} has the sha256 {found} instead of {sha256.lower()}, so it is damaged "
                "or another version: delete it and fetch it again, or correct the checksum."
            )
        for name in EIGENWORMS_FILES:
            _unpack(archive, name, Path(temporary, name))
        for name in EIGENWORMS_FILES:
            os.replace(Path(temporary, name), folder / name)
    archive.unlink()


def _download(address: str, target: Path) -> None:
    try:
        with (
            urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response,
            target.open("wb") as file,
        ):
            announced = response.headers["Content-Length"]
            try:
                shutil.copyfileobj(response, file)
            except http.client.IncompleteRead as error:
                file.write(error.partial)
            received = file.tell()
    except urllib.error.HTTPError as error:
        raise DatasetError(
            f"{address} answered {error.code} {error.reason}: try again later, {_BY_HAND}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DatasetError(
            f"{address} cannot be downloaded ({reason}): check the network, {_BY_HAND}"
        ) from error
    if announced is not None and received != int(announced):
        raise DatasetError(
            f"The download of {address} ended after {received} of {announced} bytes: try again, "
            f"{_BY_HAND}"
        )


def _unpack(archive: Path, name: str, target: Path) -> None:
    """Writes one member to `target`; the paths that the archive gives are never written to."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [one for one in packed.namelist() if PurePosixPath(one).name == name]
            if len(members) != 1:
                raise DatasetError(
                    f"{archive} has {len(members)} files {name} instead of 1, so it is another "
                    "archive: delete it and check the checksum."
                )
            with packed.open(members[0]) as member, target.open("wb") as file:
                shutil.copyfileobj(member, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DatasetError(
            f"{archive} is damaged ({error}): delete it and fetch it again."
        ) from error
