import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.blobs import BlobStore
from holdfast.errors import NotFound, StoreUnavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blöbs of a test")


def files(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"\0\xff" * 10, "größe".encode(), b"x" * 3_000_000])
def test_blob_comes_back_under_the_sha256_of_its_content(blobs: BlobStore, data: bytes):
    ref = blobs.put(data)
    assert ref == hashlib.sha256(data).hexdigest()
    assert blobs.get(ref) == data and blobs.has(ref)


def test_same_content_twice_is_one_file_written_once(blobs: BlobStore):
    ref = blobs.put(b"a")
    before = [path.stat().st_mtime_ns for path in files(blobs)]
    assert blobs.put(b"a") == ref
    assert [path.stat().st_mtime_ns for path in files(blobs)] == before and len(before) == 1


def test_json_comes_back_as_it_was(blobs: BlobStore):
    value = {"ä": [1, 2.5, None, True, 2**70], "": {}}
    assert blobs.get_json(blobs.put_json(value)) == value


def test_nan_is_no_json_blob(blobs: BlobStore):
    with pytest.raises(ValueError, match="not JSON compliant"):
        blobs.put_json({"a": float("nan")})
    assert not blobs.root.exists()


def test_unknown_blob_is_named(blobs: BlobStore):
    assert not blobs.has("a" * 64)
    with pytest.raises(NotFound, match=f"no blob '{'a' * 64}' in .*blöbs of a test; it was never stored here"):
        blobs.get("a" * 64)


@pytest.mark.parametrize(
    "name", ["", "a" * 63, "a" * 65, "A" * 64, "../" * 21 + "x", "/etc/passwd", "a" * 63 + "\n", "ä" * 64]
)
def test_what_is_no_blob_name_never_becomes_a_path(blobs: BlobStore, name: str):
    with pytest.raises(NotFound, match="a blob name is 64 lower-case hex digits"):
        blobs.get(name)
    with pytest.raises(NotFound):
        blobs.has(name)


WRITER = """
import sys
from pathlib import Path
from holdfast.blobs import BlobStore
blobs = BlobStore(Path(sys.argv[1]))
for number in range(50):
    data = b"%d" % number * 10_000
    assert blobs.get(blobs.put(data)) == data
"""


def test_processes_that_write_the_same_blobs_at_once_all_read_them_whole(blobs: BlobStore):
    command = [sys.executable, "-c", WRITER, str(blobs.root)]
    writers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(6)]
    errors = [writer.communicate(timeout=40)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 6, errors
    assert len(files(blobs)) == 50
    for path in files(blobs):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name + path.name


def test_write_that_fails_in_the_middle_leaves_no_file_and_says_why(blobs: BlobStore):
    kept = blobs.put(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(
            StoreUnavailable, match=r"cannot write a blob of 1000000 bytes .*blöbs of a test: File too large"
        ):
            blobs.put(b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.parent.name + path.name for path in files(blobs)] == [kept]
    assert blobs.get(blobs.put(b"x" * 1_000_000)) == b"x" * 1_000_000


def test_folder_that_is_a_file_is_told(tmp_path: Path):
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"tmp.*blobs: Not a directory|File exists"):
        BlobStore(tmp_path / "blobs").put(b"a")
    assert list(tmp_path.iterdir()) == [tmp_path / "blobs"]


def test_a_blob_in_pieces_is_the_same_as_a_whole_one(blobs: BlobStore):
    with blobs.incoming() as file:
        for piece in (b"ab", b"", b"c"):
            file.write(piece)
        ref = file.keep()
    assert ref == blobs.put(b"abc") and file.size_bytes == 3
    assert files(blobs) == [blobs.path(ref)]


def test_a_blob_that_is_not_kept_leaves_nothing(blobs: BlobStore):
    with pytest.raises(KeyError), blobs.incoming() as file:
        file.write(b"abc")
        raise KeyError
    assert files(blobs) == []
    with pytest.raises(NotFound, match="it was never stored here"):
        blobs.path("0" * 64)
