"""Files into programs and out of them: an API process, a worker process, and boxes that are real."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.client import AsyncClient, Client
from holdfast.contracts.file import Uploaded
from holdfast.contracts.task import GivenFile, TaskRequest
from holdfast.errors import NotFound, UserError
from tests.support.api import Api, problem
from tests.support.cli import Project
from tests.support.stack import Stack

MB = 1 << 20


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    api = Api(stack.home, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
    yield api
    api.close()


def upload(api: Api, content: bytes, name: str = "data.csv") -> dict[str, Any]:
    response = api.http.post("/files", params={"name": name}, content=content)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def ended(api: Api, program: str, **fields: Any) -> dict[str, Any]:
    task: dict[str, Any] = api.get(f"/tasks/{api.submit(program, **fields)['id']}", wait=60)
    return task


def left(api: Api, program: str, **fields: Any) -> dict[str, bytes]:
    """The files of a program that is done, by name, each fetched by it."""
    task = ended(api, program, **fields)
    assert task["state"] == "DONE", task
    assert api.get(f"/tasks/{task['id']}/files") == task["files"]
    return {one["name"]: api.http.get(f"/tasks/{task['id']}/files/{one['name']}").content for one in task["files"]}


def refused(api: Api, program: str, **fields: Any) -> str:
    """Why what a program left was not handed out."""
    task = ended(api, program, **fields)
    assert (task["state"], task["files"]) == ("ERROR", []), task
    failure = task["failure"]
    assert failure["type"] == "OutputFilesRefused" and failure["details"]["kind"] == "validation"
    message: str = failure["message"]
    assert "\n" not in message
    return message


def test_a_file_comes_back_under_its_sha256_as_an_attachment(api: Api) -> None:
    content = bytes(range(256)) * 100
    sent = upload(api, content, "a/table.csv")
    ref = hashlib.sha256(content).hexdigest()
    assert sent == {"ref": ref, "name": "a/table.csv", "size_bytes": len(content), "media_type": "text/csv"}
    response = api.http.get(f"/files/{ref}")
    assert response.content == content
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_uploads_that_cannot_be_kept_are_refused_with_the_reason(api: Api) -> None:
    error = problem(api.http.post("/files", params={"name": "../x"}, content=b""), 422, "INVALID_REQUEST")
    assert "no relative path" in error["detail"]
    problem(api.http.get(f"/files/{'0' * 64}"), 404, "NOT_FOUND")
    problem(api.http.get("/files/none"), 422, "INVALID_REQUEST")


@pytest.mark.slow
@pytest.mark.parametrize("length_told", [True, False])
def test_a_file_above_the_limit_is_refused_and_nothing_of_it_stays(tmp_path: Path, length_told: bool) -> None:
    api = Api(tmp_path, MAX_FILE_BYTES=str(MB)).start()
    try:
        content: Any = b"x" * (MB + 1) if length_told else (b"x" * 1024 for _ in range(1025))
        error = problem(api.http.post("/files", content=content), 413, "TOO_LARGE")
        assert f"larger than {MB} bytes (setting max_file_bytes)" in error["detail"]
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    finally:
        api.close()


def test_a_program_reads_the_files_of_its_task_and_cannot_change_them(api: Api) -> None:
    files = [
        {"ref": upload(api, b"1,2\n")["ref"], "name": "deep/a.csv"},
        {"ref": upload(api, b"hi")["ref"], "name": "ü"},
    ]
    program = """
    import os
    found = sorted(os.path.join(at, name) for at, _, names in os.walk('/ws/in') for name in names)
    result = [found, open('/ws/in/deep/a.csv').read(), open('in/ü').read()]
    for act in (lambda: open('in/deep/a.csv', 'w'), lambda: open('in/new', 'w'), lambda: os.chmod('in/ü', 0o777)):
        try: act()
        except OSError as exc: result.append(exc.strerror)
    """
    task = ended(api, program, files=files)
    readonly = ["Read-only file system"] * 3
    assert task["output"] == [["/ws/in/deep/a.csv", "/ws/in/ü"], "1,2\n", "hi", *readonly], task
    assert ended(api, program, files=files)["output"] == task["output"]


def test_files_of_a_request_are_checked_before_anything_starts(api: Api) -> None:
    ref = upload(api, b"x")["ref"]

    def detail(files: list[dict[str, str]], kind: str = "program", code: str = "INVALID_REQUEST") -> str:
        body = {"type": kind, "files": files} | ({"program": "result = 1"} if kind == "program" else {"input": "x"})
        text: str = problem(api.http.post("/tasks", json=body), 422, code)["detail"]
        return text

    assert "nothing was uploaded under ref 0000" in detail([{"ref": "0" * 64, "name": "a"}])
    assert "no relative path" in detail([{"ref": ref, "name": "/etc/passwd"}])
    assert "line break" in detail([{"ref": ref, "name": "a\nb"}])
    assert "twice" in detail([{"ref": ref, "name": "a"}, {"ref": ref, "name": "a"}])
    assert "files" in detail([{"ref": ref, "name": str(k)} for k in range(1001)])
    assert "for agent and program only" in detail([{"ref": ref, "name": "a"}], "skill:echo")


def test_what_a_program_leaves_in_out_is_handed_out_by_name(api: Api) -> None:
    program = """
    import os
    os.makedirs('/ws/out/deep/er')
    open('/ws/out/deep/er/größe.txt', 'w').write('groß')
    open('out/empty', 'w')
    open('out/twin', 'wb').write(bytes(1000))
    open('out/other twin', 'wb').write(bytes(1000))
    open('/ws/kept back', 'w').write('no')
    os.chdir('/')
    """
    found = left(api, program)
    twin = bytes(1000)
    assert found == {"deep/er/größe.txt": "groß".encode(), "empty": b"", "other twin": twin, "twin": twin}


def test_a_program_that_leaves_nothing_has_no_files(api: Api) -> None:
    assert left(api, "import os; os.makedirs('out/empty/folder'); result = 1") == {}
    task = ended(api, "open('out/a', 'w').write('x'); 1 / 0")
    assert (task["state"], task["files"]) == ("ERROR", [])
    error = problem(api.http.get(f"/tasks/{task['id']}/files/a"), 404, "NOT_FOUND")
    assert "left no file 'a'" in error["detail"]


def test_a_suspended_program_hands_out_what_its_last_box_held(api: Api) -> None:
    program = """
    import os, uuid
    open('out/' + str(uuid.uuid4()), 'w').write('first')
    await skills.sleep(seconds=2)
    open('out/last', 'w').write('second')
    """.replace("await skills.sleep(seconds=2)", "import asyncio; await asyncio.sleep(2)")
    found = left(api, program, tuning={"park_after_seconds": 0.1, "slow_after_seconds": 0.5})
    assert len(found) == 2 and found["last"] == b"second"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.symlink('/etc/shadow', 'out/shadow')", r"'out/shadow': Too many levels of symbolic links"),
        ("import os; os.rmdir('out'); os.symlink('/etc', 'out')", r"'out': Too many levels of symbolic links"),
        ("import os; os.symlink('/etc', 'out/etc')", r"'out/etc': Too many levels of symbolic links"),
        ("import os; open('x', 'w'); os.link('x', 'out/x')", r"'out/x': it has 2 names \(hard links\)"),
        ("open('out/a\\nb', 'w')", r"'out/a\\nb': the name holds a line break"),
        ("open(b'out/\\xff', 'w')", r"unprintable character"),
        ("open('out/\\x1b[2J', 'w')", r"unprintable character"),
        (
            "for k in range(1001): open(f'out/{k}', 'w').close()",
            r"more than 1000 files are in it",
        ),
        ("import os; os.makedirs('out/' + 'a/' * 40); open('out/' + 'a/' * 40 + 'x', 'w')", r"a path relative to /ws"),
        (
            "open('out/sparse', 'wb').truncate(30 << 20)\nopen('out/b', 'wb').write(bytes(3 << 20))",
            "31457280 bytes|2097152 are left",
        ),
        (
            "import os\np = 'out' + 12 * ('/' + 120 * 'é')\nos.makedirs(p)\nfor k in range(999): open(f'{p}/{k}', 'w')",
            "is too long; at most 1024 bytes",
        ),
    ],
    ids=[
        "link",
        "out is a link",
        "link to a folder",
        "hard link",
        "newline",
        "not UTF-8",
        "control",
        "1001",
        "deep",
        "large",
        "long",
    ],
)
def test_what_is_no_plain_small_file_with_a_name_is_refused(api: Api, program: str, reason: str) -> None:
    assert re.search(reason, message := refused(api, program)), message


def test_ten_thousand_small_files_are_refused_clearly(api: Api) -> None:
    task = ended(api, "for k in range(10_000): open(f'out/{k}', 'w').close()")
    assert task["state"] == "ERROR"
    assert re.search("limits.output_files|number of files in /ws", task["failure"]["message"]), task["failure"]
    small = ended(api, "for k in range(1000): open(f'out/{k}', 'w').write(str(k))")
    assert (small["state"], len(small["files"])) == ("DONE", 1000)


def test_limits_of_a_request_bound_what_leaves(api: Api) -> None:
    program = "open('out/a', 'w').write('x' * 100); open('out/b', 'w').write('y' * 100)"
    assert "more than 1 files are in it" in refused(api, program, limits={"output_files": 1})
    message = refused(api, program, limits={"output_files_bytes": 150})
    assert "'out/b': found 100 bytes; 50 are left" in message and "at most 1000 of 150 bytes together" in message
    assert len(left(api, program, limits={"output_files_bytes": 200})) == 2


@pytest.mark.timeout(240)
def test_a_hundred_megabytes_reach_a_program_with_little_memory(
    api: Api, stack: Stack, say: Callable[[str], None]
) -> None:
    piece = bytes(range(256)) * 4096
    assert api.process is not None
    before = _peak_kb(api.process.pid), _peak_kb(stack.workers[0].pid)
    response = api.http.post("/files", params={"name": "big"}, content=(piece for _ in range(100)), timeout=120)
    assert response.status_code == 201, response.text
    sent = response.json()
    assert sent["size_bytes"] == 100 * MB
    program = """
    import hashlib
    result = hashlib.file_digest(open('/ws/in/big', 'rb'), 'sha256').hexdigest()
    """
    task = ended(api, program, files=[{"ref": sent["ref"], "name": "big"}])
    assert task["output"] == sent["ref"], task
    with api.http.stream("GET", f"/files/{sent['ref']}") as response:
        assert sum(len(part) for part in response.iter_bytes()) == 100 * MB
    grown = _peak_kb(api.process.pid) - before[0], _peak_kb(stack.workers[0].pid) - before[1]
    say(f"100 MiB in and through a box: peak of the API +{grown[0] >> 10} MiB, of the worker +{grown[1] >> 10} MiB")
    assert max(grown) < 30 << 10


def _peak_kb(pid: int) -> int:
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_clients_send_and_fetch_files(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "größe?.bin"
    path.write_bytes(bytes(range(256)) * 2000)
    program = "open('out/a#b %2F?.bin', 'wb').write(open('in/größe?.bin', 'rb').read()[::-1])"
    with Client(f"http://127.0.0.1:{api.port}", "") as client:
        sent = client.upload(path)
        given = GivenFile(ref=sent.ref, name=sent.name)
        task = client.wait(client.send(TaskRequest(type="program", program=program, files=[given])).id, 60)
        [file] = client.files(task.id)
        assert client.download(task.id, file.name) == path.read_bytes()[::-1]
        with pytest.raises(UserError, match="cannot read"):
            client.upload(tmp_path / "gone")
        with pytest.raises(NotFound, match="left no file"):
            client.download(task.id, "gone")

    async def again() -> Uploaded:
        async with AsyncClient(f"http://127.0.0.1:{api.port}", "") as client:
            return await client.upload(path, "other.bin")

    assert asyncio.run(again()) == sent.model_copy(update={"name": "other.bin"})


@pytest.mark.slow
def test_the_command_line_sends_and_saves_files(api: Api, tmp_path: Path) -> None:
    project = Project(tmp_path, [api.port, 1, 2])
    (tmp_path / "data.csv").write_text("1,2")
    program = project.program(
        "import os; os.mkdir('out/deep'); open('out/deep/a', 'w').write(open('in/data.csv').read())"
    )
    ran = project.run("exec", program, "--file", "data.csv", "--json")
    assert ran.returncode == 0, ran.stderr
    task_id = json.loads(ran.stdout)["id"]
    listed = project.run("show", task_id, "--files")
    assert listed.stdout.startswith("deep/a  3 bytes  "), listed.stderr
    saved = project.run("show", task_id, "--save", "results")
    assert (saved.returncode, (tmp_path / "results/deep/a").read_text()) == (0, "1,2")
    gone = project.run("exec", program, "--file", "gone.csv")
    assert gone.returncode == 2 and "cannot read 'gone.csv'" in gone.stderr
