"""EigenWorms is read quickly and checked, and fetched without trusting what comes."""

import hashlib
import http.server
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments.datasets import __main__
from experiments.datasets import eigenworms as eigenworms_module
from experiments.datasets.dataset import DatasetError
from experiments.datasets.eigenworms import eigenworms
from experiments.datasets.fetch import fetch_eigenworms
from experiments.datasets.parts import DATASETS

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"EigenWorms_TRAIN.ts": 128, "EigenWorms_TEST.ts": 131}

HEADER = """\
@problemName EigenWorms
@timeStamps false
@missing false
@univariate false
@dimensions {1}
@equalLength true
@seriesLength {0}
@classLabel true 1 2 3 4 5
@data
"""

MEASURE = """\
import json, sys, time
from pathlib import Path
from experiments.datasets.eigenworms import eigenworms
start = time.process_time()
data = eigenworms(Path(sys.argv[1]))
cpu_s = time.process_time() - start
# The peak of this program alone; that of the resource module includes the parent's.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "cpu_s": cpu_s,
    "peak_bytes": int(status["VmHWM"].split()[0]) * 1024,
    "shapes": sorted({one.shape for one in data.series}),
    "labels": data.labels.tolist(),
    "sums": [float(one[:, 0].sum()) for one in data.series[:6]],
}))
"""


def write_files(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    """Files with EigenWorms' counts; series i starts with channel i mod 6 of the answer."""
    values = np.random.default_rng(0).normal(size=shape).round(5)
    channels = [",".join(map(str, channel)) for channel in values.T]
    for name, count in COUNTS.items():
        with (folder / name).open("w") as file:
            file.write(HEADER.format(*shape))
            for index in range(count):
                first = index % shape[1]
                rotated = channels[first:] + channels[:first]
                file.write(":".join([*rotated, str(index % 5 + 1)]) + "\n")
    return values


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A folder with files of the right counts and very short series."""
    monkeypatch.setattr(eigenworms_module, "EIGENWORMS_SHAPE", (3, 6))
    write_files(tmp_path, (3, 6))
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc")
def test_files_of_the_full_size_load_in_time_and_memory(tmp_path):
    values = write_files(tmp_path, (17_984, 6))
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(answer.stdout)
    assert measured["cpu_s"] < 10
    assert measured["peak_bytes"] < 2e9
    assert measured["shapes"] == [[17_984, 6]]
    assert measured["labels"] == [index % 5 for count in COUNTS.values() for index in range(count)]
    np.testing.assert_allclose(measured["sums"], values.sum(axis=0), rtol=1e-9)


def test_both_files_are_joined(small):
    data = eigenworms(small)
    assert len(data.series) == len(data.labels) == len(set(data.groups)) == 259
    assert set(data.labels) == set(range(5)) and data.label_names == ("1", "2", "3", "4", "5")
    assert data.sampling_rate_hz is None and len(data.channel_names) == 6
    assert data.series[0].shape == (3, 6)
    np.testing.assert_array_equal(data.series[0], data.series[128])


def test_the_folder_is_passed_on(small):
    assert len(DATASETS["eigenworms"](small).series) == 259


def test_no_folder():
    with pytest.raises(DatasetError, match=r"No folder .* `folder` under `training` in the config"):
        DATASETS["eigenworms"](None)


def test_missing_file(small):
    (small / "EigenWorms_TEST.ts").unlink()
    with pytest.raises(
        DatasetError,
        match=r"EigenWorms_TEST\.ts does not exist: run .*fetch-eigenworms.*"
        r"timeseriesclassification\.com.*`folder` under `training`",
    ):
        eigenworms(small)


def test_a_series_is_missing(small):
    path = small / "EigenWorms_TRAIN.ts"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DatasetError, match=r"has 127 series of .* instead of 128"):
        eigenworms(small)


def test_series_of_another_length(small):
    write_files(small, (4, 6))
    with pytest.raises(DatasetError, match=r"of shape \(4, 6\) .* shape \(3, 6\)"):
        eigenworms(small)


def test_other_classes(small):
    path = small / "EigenWorms_TEST.ts"
    path.write_text(path.read_text().replace("true 1 2 3 4 5", "true 5 4 3 2 1"))
    with pytest.raises(DatasetError, match=r"the classes 5 4 3 2 1 instead of .* 1 2 3 4 5"):
        eigenworms(small)


def pack(members: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return stream.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


ARCHIVE = pack(
    {
        "EigenWorms_TRAIN.ts": "training " * 1000,
        "../outside/EigenWorms_TEST.ts": "test",
        "../EigenWorms.txt": "description",
    }
)

Serve = Callable[..., str]


@pytest.fixture
def requests() -> list[str]:
    """The paths that `serve` was asked for."""
    return []


@pytest.fixture
def serve(requests) -> Iterator[Serve]:
    """Serves one answer on this machine and tells its address."""
    servers = []

    def start(content: bytes, status: int = 200, length: int | None = None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/EigenWorms.zip"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_fetch_unpacks_the_two_files_only(tmp_path, serve):
    folder = tmp_path / "data" / "eigenworms"
    fetch_eigenworms(folder, sha256(ARCHIVE).upper(), serve(ARCHIVE))
    assert files(folder) == set(COUNTS)
    assert (folder / "EigenWorms_TRAIN.ts").read_text() == "training " * 1000
    assert (folder / "EigenWorms_TEST.ts").read_text() == "test"
    assert files(tmp_path) == {"data"} and files(tmp_path / "data") == {"eigenworms"}


def test_fetch_without_a_checksum_trusts_nothing(tmp_path, serve, requests):
    address = serve(ARCHIVE)
    with pytest.raises(DatasetError, match=rf"sha256 {sha256(ARCHIVE)} and none was given"):
        fetch_eigenworms(tmp_path, None, address)
    assert files(tmp_path) == {"EigenWorms.zip"}
    fetch_eigenworms(tmp_path, sha256(ARCHIVE), address)
    assert files(tmp_path) == set(COUNTS)
    assert len(requests) == 1


def test_fetch_of_another_archive(tmp_path, serve):
    with pytest.raises(DatasetError, match=rf"sha256 {sha256(ARCHIVE)} instead of 0000"):
        fetch_eigenworms(tmp_path, "0" * 64, serve(ARCHIVE))
    assert files(tmp_path) == {"EigenWorms.zip"}


def test_truncated_download(tmp_path, serve):
    size = len(ARCHIVE)
    address = serve(ARCHIVE[:100], length=size)
    with pytest.raises(DatasetError, match=rf"ended after 100 of {size} bytes: try again"):
        fetch_eigenworms(tmp_path, sha256(ARCHIVE), address)
    assert not files(tmp_path)


def test_http_error(tmp_path, serve):
    with pytest.raises(DatasetError, match=r"EigenWorms\.zip answered 404 Not Found: try"):
        fetch_eigenworms(tmp_path, None, serve(b"", status=404))
    assert not files(tmp_path)


def test_no_network(tmp_path):
    # Port 1 is never listened to.
    with pytest.raises(DatasetError, match=r"cannot be downloaded \(.*refused\): check the netw"):
        fetch_eigenworms(tmp_path, None, "http://127.0.0.1:1/EigenWorms.zip")
    assert not files(tmp_path)


def damaged() -> bytes:
    content = bytearray(ARCHIVE)
    content[60] ^= 255
    return bytes(content)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"<html>Not what was asked for</html>", r"is damaged \(File is not a zip file\)"),
        (ARCHIVE[:-30], r"is damaged \(File is not a zip file\)"),
        (damaged(), r"is damaged \(.+\): delete it and fetch"),
        (pack({"EigenWorms_TRAIN.ts": ""}), r"has 0 files EigenWorms_TEST\.ts instead of 1"),
    ],
    ids=["page", "cut", "damaged", "other"],
)
def test_damaged_archive(tmp_path, serve, content, message):
    old = tmp_path / "EigenWorms_TRAIN.ts"
    old.write_text("old")
    with pytest.raises(DatasetError, match=message):
        fetch_eigenworms(tmp_path, sha256(content), serve(content))
    assert files(tmp_path) == {old.name, "EigenWorms.zip"} and old.read_text() == "old"


def test_command_line(tmp_path, serve, monkeypatch, capsys):
    monkeypatch.setattr(
        __main__,
        "fetch_eigenworms",
        lambda folder, checksum: fetch_eigenworms(folder, checksum, serve(ARCHIVE)),
    )
    words = ["fetch-eigenworms", "--folder", str(tmp_path)]
    with pytest.raises(SystemExit, match="run this again with --sha256"):
        __main__.main(words)
    __main__.main([*words, "--sha256", sha256(ARCHIVE)])
    assert f"EigenWorms is in {tmp_path}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        __main__.main([*words, "--sha256", "abc"])
    assert "'abc' is not 64 hexadecimal digits" in capsys.readouterr().err
