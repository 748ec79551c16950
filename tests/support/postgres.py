"""A private PostgreSQL for the tests: its own data folder and port, gone at the end. Works as root and as anyone."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.ports import free_port

ABSENT = "HOLDFAST_WITHOUT_POSTGRES"
_OPTIONS = "-c fsync=off -c full_page_writes=off -c listen_addresses=127.0.0.1"
_FAST = f"{_OPTIONS} -c synchronous_commit=off"
DURABLE = f"{_OPTIONS} -c max_connections=300"
"""What was committed outlives a kill of the server, though not of the machine; and there is room for many clients."""


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL of our own. It refuses to run as root, so root runs it as the user `postgres`."""

    programs: Path
    folder: Path
    port: int
    options: str = _FAST

    def url(self, database: str) -> str:
        return f"postgresql://holdfast@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "holdfast", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.resume()

    def resume(self) -> None:
        """Start it on the data that it has."""
        options = f"{self.options} -p {self.port} -k '{self.folder}'"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")

    @property
    def pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        # Not captured: the server that pg_ctl leaves behind would hold a pipe open for ever.
        with (self.folder.parent / f"{self.folder.name}.out").open("w+") as output:
            done = subprocess.run(
                [*user, str(self.programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60,
                cwd=self.folder,
            )
            output.seek(0)
            assert done.returncode == 0, f"{program} {' '.join(arguments)}: {output.read()}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a running PostgreSQL. Without one the tests that ask for it fail, unless the environment says so."""
    with running(_FAST) as cluster:
        yield cluster.url("postgres")


@contextlib.contextmanager
def running(options: str) -> Iterator[Cluster]:
    programs = _programs()
    if programs is None:
        if os.environ.get(ABSENT) == "1":
            pytest.skip(f"no PostgreSQL, as {ABSENT}=1 says")
        pytest.fail(f"no PostgreSQL (initdb, pg_ctl); install it (Debian: postgresql), or set {ABSENT}=1")
    folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
    cluster = Cluster(programs, folder, free_port(), options)
    try:
        cluster.start()
        yield cluster
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.out").unlink(missing_ok=True)


def _programs() -> Path | None:
    """The folder that holds `initdb` and `pg_ctl`: on PATH, else where Debian puts them, newest first."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)
