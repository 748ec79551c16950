"""Files on the command line: `--file` sends them in, `show --files` lists what a program left, `--save` fetches it."""

from pathlib import Path

from cli import screen
from cli.client import Client
from holdfast import filenames
from holdfast.config import Settings
from holdfast.contracts.file import File
from holdfast.contracts.task import GivenFile, TaskRequest
from holdfast.errors import UserError


def with_files(client: Client, request: TaskRequest, paths: list[str]) -> TaskRequest:
    """The request with these files of ours, which are sent now, under their last names."""
    names = [Path(path).name for path in paths]
    if wrong := filenames.faults(names):
        raise UserError(f"--file: {wrong[0]}")
    sent = [client.upload(path) for path in paths]
    return request.model_copy(update={"files": [GivenFile(ref=file.ref, name=file.name) for file in sent]})


def show(settings: Settings, prefix: str, save: str | None, as_json: bool) -> None:
    """What a task's program left; with `save`, fetched into that folder, which is made."""
    with Client(settings) as client:
        task_id = client.find(prefix)
        files = client.files(task_id)
        if save is not None:
            for file in files:
                _save(client, task_id, file, Path(save))
    if as_json:
        screen.result([file.model_dump(mode="json") for file in files])
    elif files:
        screen.rows([(file.name, f"{file.size_bytes} bytes", file.ref[:12]) for file in files])
    else:
        screen.say("the task left no files; a program hands out what it leaves in its folder out/")


def _save(client: Client, task_id: str, file: File, folder: Path) -> None:
    # Whoever answers need not be the API that checked it.
    if wrong := filenames.fault(file.name):
        raise UserError(f"not saved: {wrong}")
    path = folder / file.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.download(task_id, file.name))
    except OSError as exc:
        raise UserError(f"cannot write {str(path)!r}: {exc.strerror}; give another folder to --save") from None
