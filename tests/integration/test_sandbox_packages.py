"""Packages for programs: built once, seen by boxes, and told to programs that miss something."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import Settings
from holdfast.errors import SettingsInvalid
from sandbox.docker import DockerAdapter
from sandbox.landlock import LandlockAdapter
from sandbox.local import LocalAdapter
from sandbox.packages import LISTED
from tests.support.box_programs import run
from tests.support.dockerd import settings as docker_settings
from tests.support.guest_host import echo

pytestmark = pytest.mark.timeout(300)
WANTED = ["numpy", "six", "sortedcontainers"]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A data folder that the boxes of a worker that is root can reach: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-packages-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def settings(home: Path, wanted: list[str]) -> Settings:
    return Settings.model_validate({"project": home, "home": home, "sandbox_packages": wanted})


def adapter(home: Path, wanted: list[str]) -> LocalAdapter:
    return LocalAdapter(settings(home, wanted))


@pytest.fixture(scope="module")
def packaged(home: Path) -> LocalAdapter:
    """An adapter with its packages built, or an honest skip where no package index can be reached."""
    made = adapter(home, WANTED)
    try:
        probe = asyncio.run(made.probe())
    except SettingsInvalid as exc:
        if "Failed to fetch" in str(exc) or "error sending request" in str(exc):
            pytest.skip(f"no package index can be reached from here, so packages for programs are not tested: {exc}")
        raise
    assert probe.ok, probe.problem
    return made


async def test_a_program_imports_the_packages_that_are_configured(packaged: LocalAdapter) -> None:
    source = """
import numpy as np, six, sortedcontainers
a = np.arange(12, dtype=float).reshape(3, 4)
result = [float(np.linalg.det(a @ a.T + np.eye(3))), six.moves.urllib.parse.quote("a b"), [*sortedcontainers.SortedList([3, 1])]]
"""
    ended = await run(packaged, source, echo)
    assert ended.result == [pytest.approx(2427.0), "a%20b", [1, 3]], ended.error


async def test_landlock_has_them_too(packaged: LocalAdapter, home: Path) -> None:
    landlock = LandlockAdapter(settings(home, WANTED))
    probe = await landlock.probe()
    if not probe.ok and "Landlock" in probe.problem:
        pytest.skip(f"no Landlock here: {probe.problem}")
    assert probe.ok, probe.problem
    ended = await run(landlock, "import numpy, six\nresult = int(numpy.arange(5).sum())", echo)
    assert ended.result == 10, ended.error


async def test_docker_has_them_too_read_only_and_for_the_python_of_its_image(
    packaged: LocalAdapter, home: Path, docker_host: str
) -> None:
    chosen = docker_settings(docker_host, home=home, sandbox_packages=WANTED)
    docker = DockerAdapter(chosen)
    source = """
import errno, pathlib, numpy, six
def tried(do):
    try:
        do()
    except OSError as exc:
        return errno.errorcode[exc.errno]
place = pathlib.Path("/packages")
result = [int(numpy.arange(5).sum()), six.__file__, tried((place / "evil.py").touch), tried((place / "six.py").unlink)]
"""
    ended = await run(docker, source, echo)
    assert ended.result == [10, "/packages/six.py", "EROFS", "EROFS"], ended.error
    missing = await run(docker, "import pandas", echo)
    assert "and these packages: numpy 2." in missing.error


async def test_chance_in_numpy_is_the_same_in_each_run(packaged: LocalAdapter) -> None:
    source = "import numpy as np\nresult = [float(np.random.rand()), float(np.random.default_rng().random())]"
    first, second, other = [await run(packaged, source, echo, seed=seed) for seed in (7, 7, 8)]
    assert first.result == second.result != other.result, first.error


async def test_what_is_missing_is_told_with_what_is_there(packaged: LocalAdapter) -> None:
    ended = await run(packaged, "import pandas", echo)
    assert "No module named 'pandas': the standard library is here, and these packages: numpy 2." in ended.error
    assert "sandbox_packages" in ended.error and "line 1" in ended.error


async def test_a_program_cannot_change_the_packages(packaged: LocalAdapter) -> None:
    source = """
import errno, pathlib
def tried(do):
    try:
        do()
    except OSError as exc:
        return errno.errorcode[exc.errno]
place = pathlib.Path("/packages")
result = [tried((place / "evil.py").touch), tried((place / "six.py").unlink), tried(lambda: (place / "six.py").write_text(""))]
"""
    assert set((await run(packaged, source, echo)).result) <= {"EROFS", "EACCES", "EPERM"}


async def test_packages_are_built_once_and_read_by_every_later_worker(packaged: LocalAdapter, home: Path) -> None:
    before = {each: each.stat().st_mtime_ns for each in (home / "packages").glob(f"*/{LISTED}")}
    assert (await run(adapter(home, [*reversed(WANTED)]), "import six\nresult = 1", echo)).result == 1
    assert {each: each.stat().st_mtime_ns for each in (home / "packages").glob(f"*/{LISTED}")} == before
    assert len([*(home / "packages").iterdir()]) == len(before)


async def test_a_package_that_does_not_exist_is_named(packaged: LocalAdapter, home: Path) -> None:
    missing, before = "holdfast-no-such-package", [*(home / "packages").iterdir()]
    with pytest.raises(SettingsInvalid, match=rf"sandbox_packages \['{missing}'\].*{missing}.*not found"):
        await adapter(home, [missing]).probe()
    assert [*(home / "packages").iterdir()] == before, "a failed build leaves nothing"


async def test_without_packages_only_the_standard_library_is_there() -> None:
    bare = LocalAdapter(Settings(project=Path("/"), home=Path("/")))
    ended = await run(bare, "import numpy", echo)
    assert "No module named 'numpy': only the standard library is here" in ended.error


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ("numpy, pandas", ("numpy", "pandas")),
        ("numpy>=2,<3 polars[all]==1.0", ("numpy>=2,<3", "polars[all]==1.0")),
        (["six"], ("six",)),
        ("six,", ("six",)),
    ],
)
def test_packages_are_a_list_or_a_text(given: Any, listed: tuple[str, ...]) -> None:
    found = Settings.model_validate({"project": "/", "home": "/", "sandbox_packages": given})
    assert found.sandbox_packages == listed


@pytest.mark.parametrize(
    "given", ["-r/etc/passwd", "git+https://x/y", "./here", "a @ file:///b", "--index-url=x", "a;b"]
)
def test_only_names_and_versions_are_taken(given: str) -> None:
    with pytest.raises(ValueError, match="sandbox_packages"):
        Settings.model_validate({"project": "/", "home": "/", "sandbox_packages": [given]})
