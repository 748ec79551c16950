"""list-files, read-file, write-file, and the rules of the workspace that all file skills share."""

import os
import socket
import stat
from pathlib import Path

import pytest

from holdfast.errors import SkillInputError
from skills.paths import FileUnfit, PathRefused, is_sensitive
from tests.support.builtin import Desk

READERS = ("read-file", "code-analysis", "data-profile", "find-in-files", "security-scan", "list-files")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "prices.csv").write_text("a,b\n1,2\n")
    (tmp_path / "work").mkdir()
    return Desk(tmp_path / "work")


def call(desk: Desk, skill: str, path: str) -> object:
    extra = {"pattern": "a"} if skill == "find-in-files" else {"format": "csv"} if skill == "data-profile" else {}
    return desk(skill, path=path, **extra)


@pytest.mark.parametrize("skill", READERS)
@pytest.mark.parametrize(
    "path", ["../outside/prices.csv", "/etc/passwd", "sub/../../outside/prices.csv", "link", "up/prices.csv", "a\0b"]
)
def test_no_skill_reads_outside_of_the_workspace(desk: Desk, skill: str, path: str) -> None:
    (desk.folder / "sub").mkdir()
    (desk.folder / "link").symlink_to(desk.folder.parent / "outside" / "prices.csv")
    (desk.folder / "up").symlink_to("../outside")
    with pytest.raises(PathRefused, match=r"^\[blocked_by: workspace\]") as caught:
        call(desk, skill, path)
    assert not caught.value.retryable


@pytest.mark.parametrize("path", ["../x.txt", "/tmp/holdfast-x.txt", "up/x.txt", "link", "dangling"])
def test_nothing_is_written_outside_of_the_workspace(desk: Desk, path: str) -> None:
    outside = desk.folder.parent / "outside"
    (desk.folder / "link").symlink_to(outside / "prices.csv")
    (desk.folder / "up").symlink_to("../outside")
    (desk.folder / "dangling").symlink_to("../outside/new.txt")
    with pytest.raises(PathRefused, match=r"^\[blocked_by: workspace\]"):
        desk("write-file", path=path, content="x")
    assert sorted(os.listdir(outside)) == ["prices.csv"]
    assert (outside / "prices.csv").read_text() == "a,b\n1,2\n"


def test_a_loop_of_links_is_refused(desk: Desk) -> None:
    (desk.folder / "a").symlink_to("b")
    (desk.folder / "b").symlink_to("a")
    with pytest.raises(PathRefused, match="loop of links"):
        desk("read-file", path="a/x")


def test_a_pipe_is_refused_without_waiting_for_a_writer(desk: Desk) -> None:
    os.mkfifo(desk.folder / "pipe")
    with pytest.raises(PathRefused, match=r"\[blocked_by: workspace\].*pipe"):
        desk("read-file", path="pipe")


def test_a_socket_is_neither_read_nor_replaced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("door")
        with pytest.raises(PathRefused):
            desk("read-file", path="door")
        with pytest.raises(PathRefused):
            desk("write-file", path="door", content="x")
        assert desk("list-files")["skipped"] == [{"path": "door", "why": "a device, pipe or socket"}]


def test_a_link_that_stays_inside_is_followed(desk: Desk) -> None:
    desk.put("real/text.txt", "hello\n")
    (desk.folder / "short").symlink_to("real")
    assert desk("read-file", path="short/text.txt")["text"] == "hello\n"
    assert desk("write-file", path="short/new.txt", content="x")["path"] == "real/new.txt"
    assert desk("read-file", path="real/../short/new.txt")["text"] == "x"


SENSITIVE = [
    ".env",
    ".env.local",
    "prod.ENV",
    "a/server.pem",
    "tls.key",
    "id_rsa",
    "id_ed25519.old",
    ".ssh/config",
    "aws_credentials.json",
]
SENSITIVE += ["my-secrets.yaml", ".git/config", ".aws/config", ".holdfast/holdfast.db", ".netrc"]


@pytest.mark.parametrize("path", SENSITIVE)
def test_files_with_names_for_keys_are_closed(desk: Desk, path: str) -> None:
    desk.put(path, "hunter2")
    for attempt in ({"skill": "read-file"}, {"skill": "code-analysis"}, {"skill": "write-file", "content": "x"}):
        with pytest.raises(PathRefused, match=r"^\[blocked_by: rules\]"):
            desk(**attempt, path=path)
    assert (desk.folder / path).read_text() == "hunter2"


def test_a_link_to_a_closed_file_is_closed_too(desk: Desk) -> None:
    desk.put(".env", "A=1")
    (desk.folder / "notes.txt").symlink_to(".env")
    with pytest.raises(PathRefused, match=r"\[blocked_by: rules\]"):
        desk("read-file", path="notes.txt")


@pytest.mark.parametrize(
    "path", [".env.example", "keyboard.txt", "monkey.py", "environment.md", "git/config", "a.pem.txt"]
)
def test_names_that_only_resemble_keys_are_open(path: str) -> None:
    assert not is_sensitive(path)


def test_prose_that_mentions_env_files_may_be_written(desk: Desk) -> None:
    assert desk("write-file", path="howto.md", content="Put the key into .env, never into id_rsa.")["size_bytes"] == 41


NAMES = ["a b.txt", "Größe.txt", "zwei\nzeilen.txt", "'quoted\".txt", "-rf", "*.txt", "数据.txt", "ö" * 120]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_work_from_listing_to_reading(desk: Desk, name: str) -> None:
    desk("write-file", path=f"in/{name}", content=f"text of {name}")
    (listed,) = desk("list-files", path="in")["files"]
    assert desk("read-file", path=listed["path"])["text"] == f"text of {name}"


def test_a_listing_is_sorted_and_names_what_it_skips(desk: Desk) -> None:
    for path in ("b.py", "a/z.py", "a/b/c.txt", ".git/HEAD", "node_modules/x.js", ".env", ".holdfast-1.tmp"):
        desk.put(path, "x")
    (desk.folder / "link").symlink_to("a")
    (desk.folder / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"x")
    answer = desk("list-files")
    assert [file["path"] for file in answer["files"]] == [".env", "a/b/c.txt", "a/z.py", "b.py"]
    assert answer["folders"] == ["a", "a/b"]
    assert [skipped["path"] for skipped in answer["skipped"]] == [".git", "caf\\xe9.txt", "link", "node_modules"]
    assert (answer["found"], answer["truncated"]) == (10, False)


PATTERNS = {
    "*.py": ["a.py"],
    "**/*.py": ["a.py", "x/b.py", "x/y/c.py"],
    "x/**": ["x/b.py", "x/y/c.py", "x/y/d.csv"],
    "**/y/*": ["x/y/c.py", "x/y/d.csv"],
    "**/*.{csv,txt}": ["e.txt", "x/y/d.csv"],
    "x/?.py": ["x/b.py"],
    "**/[!_a]*.py": ["x/b.py", "x/y/c.py"],
    "./a.py": ["a.py"],
    "nothing": [],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_globs_choose_as_people_expect(desk: Desk, pattern: str) -> None:
    for path in ("a.py", "e.txt", "x/b.py", "x/y/c.py", "x/y/d.csv"):
        desk.put(path, "")
    assert [file["path"] for file in desk("list-files", pattern=pattern)["files"]] == PATTERNS[pattern]


def test_a_hostile_glob_ends_at_once(desk: Desk) -> None:
    desk.put("a" * 200, "")
    desk.put("/".join("b" * 60), "")
    assert desk("list-files", pattern="*a" * 90 + "b")["found"] == 0
    assert desk("list-files", pattern="**/" * 60 + "c")["found"] == 0
    with pytest.raises(SkillInputError, match="more than 64 choices"):
        desk("list-files", pattern="{a,b}" * 20)


def test_a_long_listing_is_cut_and_says_so(desk: Desk) -> None:
    for number in range(30):
        desk.put(f"{number:02}.txt", "")
    answer = desk("list-files", limit=7)
    assert (len(answer["files"]), answer["found"], answer["truncated"]) == (7, 30, True)


def test_a_folder_deeper_than_the_limit_is_not_followed_for_ever(desk: Desk) -> None:
    deep = desk.folder
    for _ in range(100):
        deep = deep / "d"
        deep.mkdir()
    assert len(desk("list-files")["folders"]) == 65
    with pytest.raises(PathRefused, match="64 folders deep"):
        desk("read-file", path="d/" * 80 + "x")


def test_lines_come_as_they_stand_in_the_file(desk: Desk) -> None:
    desk.put("crlf.txt", "one\r\ntwo\r\n\x0cthree\x85still three")
    whole = desk("read-file", path="crlf.txt")
    assert (whole["text"], whole["lines"]) == ("one\r\ntwo\r\n\x0cthree\x85still three", 3)
    part = desk("read-file", path="crlf.txt", start_line=2, end_line=2)
    assert (part["text"], part["start_line"], part["end_line"], part["truncated"]) == ("two\r\n", 2, 2, False)


ENCODINGS = [
    ("Käse".encode(), "utf-8"),
    ("Käse".encode("utf-8-sig"), "utf-8-sig"),
    ("Käse".encode("utf-16"), "utf-16"),
    ("Käse".encode("latin-1"), "latin-1"),
]


@pytest.mark.parametrize(("data", "encoding"), ENCODINGS)
def test_text_is_read_in_its_encoding(desk: Desk, data: bytes, encoding: str) -> None:
    desk.put("t.txt", data)
    answer = desk("read-file", path="t.txt")
    assert (answer["text"], answer["encoding"]) == ("Käse", encoding)


def test_long_and_empty_files_say_how_much_there_is(desk: Desk) -> None:
    desk.put("long.txt", "x\n" * 5000)
    long = desk("read-file", path="long.txt")
    assert (long["text"].count("\n"), long["lines"], long["end_line"], long["truncated"]) == (2000, 5000, 2000, True)
    desk.put("empty.txt", "")
    empty = desk("read-file", path="empty.txt", start_line=4)
    assert (empty["text"], empty["lines"], empty["end_line"], empty["truncated"]) == ("", 0, 3, False)


UNFIT = {
    "image.png": "is binary",
    "big.log": "has 1048577 bytes; at most 1048576",
    "folder": "is a folder",
    "raedme.md": "did you mean 'readme.md'",
    "readme.md/x": "Not a directory",
    "x" * 300: "File name too long",
    ".": "is a folder",
}


@pytest.mark.parametrize("path", UNFIT)
def test_a_file_that_cannot_be_read_says_why(desk: Desk, path: str) -> None:
    desk.put("image.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    desk.put("big.log", b"x" * (1 << 20) + b"y")
    desk.put("readme.md", "")
    (desk.folder / "folder").mkdir()
    with pytest.raises(FileUnfit, match=UNFIT[path]) as caught:
        desk("read-file", path=path)
    assert not caught.value.retryable


def test_a_range_that_ends_before_it_begins_is_refused(desk: Desk) -> None:
    desk.put("t.txt", "a\nb\n")
    with pytest.raises(SkillInputError, match="end_line 1 is before start_line 2"):
        desk("read-file", path="t.txt", start_line=2, end_line=1)


def test_writing_twice_leaves_one_file_and_one_answer(desk: Desk) -> None:
    first = desk("write-file", path="a/b/c.txt", content="Größe\r\n")
    assert desk("write-file", path="a/b/c.txt", content="Größe\r\n") == first
    assert (desk.folder / "a/b/c.txt").read_bytes() == "Größe\r\n".encode()
    assert os.listdir(desk.folder / "a/b") == ["c.txt"]


def test_a_replaced_file_keeps_its_rights_and_its_readers(desk: Desk) -> None:
    place = desk.put("run.sh", "old")
    place.chmod(0o750)
    with place.open() as reader:
        desk("write-file", path="run.sh", content="new")
        assert reader.read() == "old"
    assert (place.read_text(), stat.S_IMODE(place.stat().st_mode)) == ("new", 0o750)


@pytest.mark.parametrize("path", ["folder", ".", "text.txt/x"])
def test_a_folder_is_not_written_over(desk: Desk, path: str) -> None:
    (desk.folder / "folder").mkdir()
    desk.put("text.txt", "kept")
    with pytest.raises(FileUnfit):
        desk("write-file", path=path, content="x")
    assert sorted(os.listdir(desk.folder)) == ["folder", "text.txt"]


def test_content_beyond_one_mebibyte_is_refused_in_bytes_not_characters(desk: Desk) -> None:
    with pytest.raises(SkillInputError, match="has 1400000 bytes"):
        desk("write-file", path="big.txt", content="ä" * 700_000)
    assert not (desk.folder / "big.txt").exists()


def test_no_descriptor_is_left_open(desk: Desk) -> None:
    desk.put("a/b/c.txt", "x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        desk("list-files")
        desk("read-file", path="a/../a/b/c.txt")
        desk("write-file", path="a/d/e.txt", content="x")
        with pytest.raises(PathRefused):
            desk("read-file", path="a/b/../../../x")
        with pytest.raises(FileUnfit):
            desk("read-file", path="a/b/none.txt")
    assert len(os.listdir("/proc/self/fd")) == before
