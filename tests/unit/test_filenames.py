import pytest

from holdfast import filenames
from holdfast.blobs import BlobStore
from holdfast.contracts.task import GivenFile
from holdfast.errors import InvalidRequest, TooLarge
from holdfast.given import files_ref


@pytest.mark.parametrize(
    "name", ["a", "data/2024.csv", "größe.txt", "a b", "..a", "x" * 255, "a/" * 31 + "x", ".hidden"]
)
def test_plain_relative_names_are_allowed(name: str) -> None:
    assert filenames.fault(name) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "no relative path"),
        ("../x", "no relative path"),
        ("a/../b", "no relative path"),
        ("a//b", "no relative path"),
        ("./a", "no relative path"),
        ("a/", "no relative path"),
        ("", "no relative path"),
        ("a\nb", "line break"),
        ("a\0b", "unprintable"),
        ("\x1b[2J", "unprintable"),
        ("\u202egpj", "unprintable"),
        ("\ud800", "unprintable"),
        ("x" * 256, "too long"),
        ("a/" * 32 + "x", "too long"),
        (("ä" * 120 + "/") * 5 + "x", "too long"),
    ],
)
def test_other_names_are_refused_with_what_is_expected(name: str, reason: str) -> None:
    found = filenames.fault(name)
    assert reason in found and found.isprintable()


def test_names_of_one_folder_are_refused_where_they_clash() -> None:
    assert filenames.faults(["a", "b/c"]) == []
    assert filenames.faults(["a", "b", "a"]) == ["'a' is there twice; each name may stand once"]
    assert filenames.faults(["a", "a/b"]) == ["'a' is a file and a folder of another; it can be one only"]
    assert "1001 files; at most 1000" in filenames.faults([str(k) for k in range(1001)])[0]


def test_a_list_comes_back_as_it_was_given(tmp_path) -> None:
    blobs = BlobStore(tmp_path)
    given = [GivenFile(ref=blobs.put(b"abc"), name="a"), GivenFile(ref=blobs.put(b""), name="b/ü")]
    read = filenames.read(blobs, files_ref(given, blobs, 3))
    assert [(one.name, one.size_bytes) for one in read] == [("a", 3), ("b/ü", 0)]
    assert files_ref([], blobs, 3) is None and filenames.read(blobs, None) == []


def test_files_of_a_task_are_refused_with_their_fault(tmp_path) -> None:
    blobs = BlobStore(tmp_path)
    ref = blobs.put(b"abc")
    with pytest.raises(TooLarge, match=r"together 3 bytes; 2 are allowed \(setting max_file_bytes\)"):
        files_ref([GivenFile(ref=ref, name="a")], blobs, 2)
    with pytest.raises(InvalidRequest, match="no relative path"):
        files_ref([GivenFile(ref=ref, name="../a")], blobs, 9)
    with pytest.raises(InvalidRequest, match="nothing was uploaded under ref 0000"):
        files_ref([GivenFile(ref="0" * 64, name="a")], blobs, 9)
