import contextlib
import os
import random
from pathlib import Path

import pytest

from holdfast.errors import SpecInvalid
from holdfast.names import canonical_name, identifier
from holdfast.specs import UndeclaredEffect, parse_skill
from tests.support.skill_folders import write_files
from tests.unit.skill_corpus.cases import CASES, Case

SHAPES = Path(__file__).parent / "skill_corpus" / "shapes"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_deviation_gets_its_verdict(case: Case, tmp_path: Path) -> None:
    folder = write_files(tmp_path / case.folder, case.files)
    if case.verdict == "refused":
        with pytest.raises(SpecInvalid) as refusal:
            parse_skill(folder, label=folder.name)
        assert [name for name in case.names if name not in str(refusal.value)] == [], str(refusal.value)
        return
    parsed = parse_skill(folder, label=folder.name)
    fits = [warning for warning in parsed.warnings if all(name in warning for name in case.names)]
    assert bool(fits) == (case.verdict == "warning"), parsed.warnings
    found = {name: getattr(parsed.spec, name) for name in case.gives}
    assert found == case.gives


def test_a_warned_skill_has_no_warning_but_those_it_deserves(tmp_path: Path) -> None:
    """Each case deviates once, so it gets one warning; cases in which one fault shows twice are named here."""
    twice = {"effect-not-set", "brackets-in-hint", "name-with-capitals"}
    for case in CASES:
        if case.verdict == "warning" and case.id not in twice:
            parsed = parse_skill(write_files(tmp_path / case.id / case.folder, case.files))
            assert len(parsed.warnings) == 1, (case.id, parsed.warnings)


_DAMAGE = [
    b":",
    b"\n",
    b"- ",
    b"{",
    b"]",
    b"'",
    b'"',
    b"\t",
    b"&a ",
    b"*a",
    b"!!set ",
    b"? ",
    b"<<: ",
    b"\xff",
    b"\0",
    b"9" * 5000,
]


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_folder_loads_or_is_refused_but_nothing_else(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    for number in range(60):
        case = chance.choice(CASES)
        files = {name: _damaged(content, chance) for name, content in case.files.items()}
        folder = write_files(tmp_path / str(number) / case.folder, {**files})
        with contextlib.suppress(SpecInvalid):
            assert parse_skill(folder).spec.description


def _damaged(content: str | bytes, chance: random.Random) -> bytes:
    data = bytearray(content.encode() if isinstance(content, str) else content)[:3000]
    for _ in range(chance.randint(1, 3)):
        place = chance.randint(0, len(data))
        data[place : place + chance.choice([0, 1, 5])] = chance.choice(_DAMAGE)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "kind", "timeout", "handler"),
    [
        ("code-analysis", "script", 10.0, "analyzer.py"),
        ("web-search", "hybrid", 30.0, "handler.py"),
        ("summarize", "prompt", 60.0, None),
    ],
)
def test_the_shapes_of_the_older_system_load(name: str, kind: str, timeout: float, handler: str | None) -> None:
    spec = parse_skill(SHAPES / name).spec
    assert (spec.name, spec.version, spec.kind, spec.timeout_seconds) == (name, "1.0.0", kind, timeout)
    assert spec.handler == handler
    assert len(spec.tags) == 3
    assert bool(spec.prompt_template) == (kind != "script")
    assert spec.output_schema["type"] == "object"


@pytest.mark.parametrize("missing", [("name",), ("version",), ("description",), ("name", "description")])
def test_each_missing_required_key_is_named(missing: tuple[str, ...], tmp_path: Path) -> None:
    keys = {"name": "tidy", "version": "1.0.0", "description": "Tidies"}
    text = "".join(f"{key}: {value}\n" for key, value in keys.items() if key not in missing)
    folder = write_files(tmp_path / "tidy", {"skill.yaml": text, "skill.py": "def run(): ..."})
    with pytest.raises(SpecInvalid) as refusal:
        parse_skill(folder)
    named = [key for key in keys if f"'{key}'" in str(refusal.value).split("; found")[0]]
    assert named == list(missing)
    assert refusal.value.key == missing[0]
    assert refusal.value.file.endswith("tidy/skill.yaml")


@pytest.mark.parametrize(
    ("setting", "extra", "effect"),
    [
        ("guess", "", "pure"),
        ("guess", "secrets: [TOKEN]\n", "once"),
        ("once", "", "once"),
        ("pure", "network: true\n", "pure"),
    ],
)
def test_an_effect_that_is_not_declared_follows_the_setting(
    setting: UndeclaredEffect, extra: str, effect: str, tmp_path: Path
) -> None:
    text = f"name: tidy\nversion: 1.0.0\ndescription: Tidies\n{extra}"
    folder = write_files(tmp_path / "tidy", {"skill.yaml": text, "skill.py": "def run(): ..."})
    parsed = parse_skill(folder, undeclared=setting)
    assert (parsed.spec.effect, parsed.spec.effect_declared) == (effect, False)
    assert "'effect'" in parsed.warnings[0]


@pytest.mark.parametrize(
    ("effect", "weight", "warned"), [("pure", "light", False), ("idempotent", "normal", True), ("once", "normal", True)]
)
def test_only_a_pure_script_is_light(effect: str, weight: str, warned: bool, tmp_path: Path) -> None:
    text = f"name: tidy\nversion: 1.0.0\ndescription: Tidies\neffect: {effect}\nweight: light\n"
    folder = write_files(tmp_path / "tidy", {"skill.yaml": text, "skill.py": "def run(): ..."})
    parsed = parse_skill(folder)
    assert parsed.spec.weight == weight
    assert [f"effect {effect!r}" in one for one in parsed.warnings] == [True] * warned


def test_instructions_are_the_body_of_the_markdown_file(tmp_path: Path) -> None:
    folder = write_files(
        tmp_path / "tidy", {"SKILL.md": "---\nname: tidy\ndescription: Tidies\n---\n\n# How\n---\nGently.\n"}
    )
    assert parse_skill(folder).instructions == "# How\n---\nGently."


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root")
    folder = write_files(tmp_path / "tidy", {"SKILL.md": "---\nname: tidy\ndescription: Tidies\n---\nGo."})
    (folder / "inside.txt").symlink_to("SKILL.md")
    assert "inside.txt" in parse_skill(folder).files
    (folder / "data.txt").symlink_to(tmp_path / "passwd")
    with pytest.raises(SpecInvalid, match=r"data\.txt: a symbolic link to .*passwd.*outside"):
        parse_skill(folder)


def test_a_link_to_nothing_and_a_link_to_itself_are_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "tidy", {"SKILL.md": "---\nname: tidy\ndescription: Tidies\n---\nGo."})
    for target in ("nowhere.txt", "loop.txt"):
        (folder / "loop.txt").symlink_to(target)
        with pytest.raises(SpecInvalid, match=r"loop\.txt: cannot be read"):
            parse_skill(folder)
        (folder / "loop.txt").unlink()


def test_a_pipe_in_a_folder_blocks_nobody(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "tidy", {"SKILL.md": "---\nname: tidy\ndescription: Tidies\n---\nGo."})
    os.mkfifo(folder / "pipe")
    with pytest.raises(SpecInvalid, match="pipe: not a regular file"):
        parse_skill(folder)


def test_a_skill_is_at_most_ten_mebibytes(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"data/{number}.bin": bytes(1 << 20) for number in range(10)}
    folder = write_files(tmp_path / "tidy", {"SKILL.md": "---\nname: tidy\ndescription: Tidies\n---\nGo.", **files})
    with pytest.raises(SpecInvalid, match="more than 10 MiB"):
        parse_skill(folder)


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "tidy", {"SKILL.md": "---\nname: tidy\ndescription: Tidies\n---\nGo."})
    (folder / os.fsdecode(b"\xff.txt")).touch()
    with pytest.raises(SpecInvalid, match="not UTF-8"):
        parse_skill(folder)


@pytest.mark.parametrize(
    ("written", "name", "python"),
    [
        ("code-analysis", "code-analysis", "code_analysis"),
        ("Code_Analysis", "code-analysis", "code_analysis"),
        ("  code  analysis ", "code-analysis", "code_analysis"),
        ("import", "import", "import_"),
        ("3d-model", "3d-model", "_3d_model"),
        ("Größe", "größe", "größe"),
        ("ﬁle", "file", "file"),
        ("--", "", ""),
    ],
)
def test_a_name_has_one_form_in_files_and_one_in_programs(written: str, name: str, python: str) -> None:
    assert canonical_name(written) == name
    assert identifier(written) == python
    assert not python or python.isidentifier()
