"""Reading through to the project folder: what the workspace lacks is read there, nothing is written, little is hidden."""

import os
from pathlib import Path

import pytest

from holdfast.errors import SkillInputError
from skills.paths import FileUnfit, PathRefused
from tests.support.builtin import Desk

READERS = ("read-file", "code-analysis", "data-profile", "find-in-files", "security-scan", "list-files")


def put(folder: Path, path: str, content: str | bytes) -> Path:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    put(tmp_path / "outside", "prices.csv", "a,b\n1,2\n")
    put(tmp_path / "ein Projekt", "src/app.py", "print('project')\n")
    put(tmp_path / "ein Projekt", "data/prices.csv", "a,b\n3,4\n")
    return tmp_path / "ein Projekt"


@pytest.fixture
def desk(project: Path) -> Desk:
    workspace = project / ".holdfast" / "workspaces" / "default" / "default"
    workspace.mkdir(parents=True)
    return Desk(workspace, project)


def call(desk: Desk, skill: str, path: str) -> object:
    extra = {"pattern": "a"} if skill == "find-in-files" else {"format": "csv"} if skill == "data-profile" else {}
    return desk(skill, path=path, **extra)


def names(desk: Desk, **arguments: str) -> list[str]:
    return [file["path"] for file in desk("list-files", **arguments)["files"]]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_reader_reads_what_only_the_project_has(desk: Desk) -> None:
    assert desk("read-file", path="src/app.py")["text"] == "print('project')\n"
    assert desk("code-analysis", path="src/../src/app.py")["score"] == 100
    assert desk("data-profile", path="data/prices.csv")["rows"] == 1
    assert desk("find-in-files", pattern="project")["matches"][0]["path"] == "src/app.py"
    assert desk("security-scan")["summary"]["files"] == 2
    assert names(desk) == ["data/prices.csv", "src/app.py"]


def test_the_workspace_comes_first(desk: Desk) -> None:
    desk.put("src/app.py", "print('workspace')\n")
    desk.put("src/new.py", "")
    assert desk("read-file", path="src/app.py")["text"] == "print('workspace')\n"
    listing = desk("list-files", path="src")
    assert listing["files"] == [{"path": "src/app.py", "size_bytes": 19}, {"path": "src/new.py", "size_bytes": 0}]
    assert [match["text"] for match in desk("find-in-files", pattern="print")["matches"]] == ["print('workspace')"]
    assert names(desk, path="src/app.py") == ["src/app.py"]
    assert (desk("list-files")["folders"], desk("list-files")["found"]) == (["data", "src"], 5)


def test_a_file_hides_the_projects_folder_of_that_name_and_the_other_way_round(desk: Desk, project: Path) -> None:
    desk.put("src", "a file\n")
    desk.put("notes/today.md", "in a folder\n")
    put(project, "notes", "a file\n")
    assert names(desk) == ["data/prices.csv", "notes/today.md", "src"]
    assert names(desk, path="notes") == ["notes/today.md"]
    assert names(desk, path="src") == ["src"]
    with pytest.raises(FileUnfit, match="Not a directory"):
        desk("read-file", path="src/app.py")


def test_a_link_of_the_workspace_hides_the_projects_folder(desk: Desk) -> None:
    desk.put("real/mine.csv", "x\n")
    (desk.folder / "data").symlink_to("real")
    assert names(desk) == ["real/mine.csv", "src/app.py"]
    assert names(desk, path="data") == ["real/mine.csv"]


def test_nothing_is_ever_written_to_the_project(desk: Desk, project: Path) -> None:
    before = everything(project)
    assert desk("write-file", path="src/app.py", content="x")["path"] == "src/app.py"
    desk("write-file", path="docs/new.md", content="y")
    after = everything(project)
    own = {str(desk.folder / "src/app.py"): b"x", str(desk.folder / "docs/new.md"): b"y"}
    assert after == before | own
    assert desk("read-file", path="src/app.py")["text"] == "x"


@pytest.mark.parametrize("skill", READERS)
@pytest.mark.parametrize(
    "path",
    ["../outside/prices.csv", "/etc/passwd", "src/../../outside/prices.csv", "link", "up/prices.csv", "far", "src\0"],
)
def test_no_path_leads_out_of_the_project(desk: Desk, project: Path, skill: str, path: str) -> None:
    (project / "link").symlink_to(project.parent / "outside" / "prices.csv")
    (project / "up").symlink_to("../outside")
    (project / "far").symlink_to("src/../../outside/prices.csv")
    with pytest.raises(PathRefused, match=r"^\[blocked_by: workspace\]"):
        call(desk, skill, path)


HIDDEN = [
    *(".env", ".env.example", ".git/config", ".holdfast/holdfast.db", ".venv/lib/x.py", ".github/ci.yml", ".x"),
    *("node_modules/p/index.js", "src/__pycache__/app.pyc", "venv/x.py", "deploy/tls.key", "my-secrets.yaml"),
    *("Node_Modules/x.js", ".GIT/config", "aws_credentials.json", "src/.hidden/deep/file.txt", "id_rsa"),
]


@pytest.mark.parametrize("path", HIDDEN)
@pytest.mark.parametrize("skill", READERS)
def test_hidden_files_of_the_project_are_closed(desk: Desk, project: Path, skill: str, path: str) -> None:
    place = put(project, path, "a,hunter2\n")
    with pytest.raises(PathRefused, match=r"^\[blocked_by: (project|rules)\]"):
        call(desk, skill, path)
    (project / "pub").symlink_to(os.path.relpath(place, project))
    (project / "pubdir").symlink_to(os.path.relpath(place.parent, project) if "/" in path else "src")
    for sly in ("pub", f"pubdir/{place.name}", f"src/../{path}", f"./{path}"):
        with pytest.raises((PathRefused, FileUnfit)) as caught:
            call(desk, skill, sly)
        assert isinstance(caught.value, PathRefused) or (sly.startswith("pubdir") and "/" not in path)


def test_hidden_files_of_the_project_are_in_no_list_no_search_and_no_scan(desk: Desk, project: Path) -> None:
    for path in HIDDEN:
        put(project, path, "password = 'hunter2'\n")
    (project / "closed").symlink_to(".git")
    listing = desk("list-files")
    assert [file["path"] for file in listing["files"]] == ["data/prices.csv", "src/app.py"]
    assert listing["folders"] == ["data", "deploy", "src"]
    assert listing["skipped"] == [{"path": "closed", "why": "a symbolic link; open it by its path"}]
    assert desk("find-in-files", pattern="hunter2")["matches"] == []
    scan = desk("security-scan")
    assert (scan["secrets"], scan["findings"], scan["summary"]["files"]) == ([], [], 2)


def test_the_workspaces_own_hidden_files_are_read_as_before(desk: Desk, project: Path) -> None:
    put(project, ".github/ci.yml", "project\n")
    desk.put(".github/ci.yml", "workspace\n")
    desk.put("node_modules/x.js", "x\n")
    assert desk("read-file", path=".github/ci.yml")["text"] == "workspace\n"
    assert names(desk, path=".github") == [".github/ci.yml"]
    assert names(desk, path="node_modules") == ["node_modules/x.js"]


def test_links_that_stay_in_the_project_are_followed(desk: Desk, project: Path) -> None:
    (project / "short").symlink_to("src")
    (project / "app").symlink_to("short/app.py")
    assert desk("read-file", path="short/app.py")["text"] == "print('project')\n"
    assert desk("read-file", path="app")["text"] == "print('project')\n"
    assert names(desk, path="short") == ["src/app.py"]


def test_a_project_link_out_does_not_spoil_the_workspaces_folder(desk: Desk, project: Path) -> None:
    (project / "results").symlink_to("../outside")
    (project / "loop").symlink_to("loop")
    desk.put("results/mine.csv", "a\n")
    desk.put("loop/mine.csv", "a\n")
    assert names(desk, path="results") == ["results/mine.csv"]
    assert desk("read-file", path="results/mine.csv")["text"] == "a\n"
    assert names(desk, path="loop") == ["loop/mine.csv"]


def test_pipes_and_devices_of_the_project_are_not_opened(desk: Desk, project: Path) -> None:
    os.mkfifo(project / "pipe")
    with pytest.raises(PathRefused, match="pipe"):
        desk("read-file", path="pipe")
    assert desk("list-files")["skipped"] == [{"path": "pipe", "why": "a device, pipe or socket"}]


@pytest.mark.parametrize("path", ["src/ap.py", "nowhere/app.py", "src/app.py/x", "src"])
def test_what_is_in_neither_is_explained_from_the_project(desk: Desk, path: str) -> None:
    why = {"src/ap.py": "did you mean 'src/app.py'", "src": "is a folder"}.get(path, "No such file|Not a directory")
    with pytest.raises(FileUnfit, match=why):
        desk("read-file", path=path)
    with pytest.raises(SkillInputError):
        desk("list-files", path="nowhere")


def test_large_projects_are_walked_in_bounds(desk: Desk, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skills.walking.MAX_ENTRIES", 50)
    for number in range(60):
        put(project, f"node_modules/p/{number}.js", "")
        put(project, f"many/{number:02}.txt", "")
    desk.put("mine.txt", "")
    listing = desk("list-files")
    assert listing["truncated"] is True
    assert len(listing["files"]) <= 51
    assert "mine.txt" in [file["path"] for file in listing["files"]]


def test_no_descriptor_is_left_open(desk: Desk) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        desk("list-files")
        desk("read-file", path="src/app.py")
        for path in ("src/../../x", ".git/config", "src/none.py", "none/none.py"):
            with pytest.raises(SkillInputError):
                desk("read-file", path=path)
    assert len(os.listdir("/proc/self/fd")) == before
