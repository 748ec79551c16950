import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.blobs import BlobStore
from holdfast.catalogue import Catalogue, CatalogueSkill, Library, Loaded, load
from holdfast.errors import NotFound, OperatorError, SkillInputError, SkillOutputError, UnknownSkill
from tests.support.skill_folders import write_files, write_skill
from tests.unit.skill_corpus.cases import CASES

SEARCH = """
input_schema:
  type: object
  properties:
    query: {type: string, minLength: 1}
    limit: {type: integer, default: 5, minimum: 1, maximum: 50}
    options:
      type: object
      properties: {lang: {type: string, default: en, enum: [en, de]}}
  required: [query]
output_schema:
  type: object
  properties: {total: {type: integer}}
  required: [total]
timeout_seconds: 3
max_retries: 7
max_age_seconds: 60
check: run
tags: [Web]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "ein Projekt"


@pytest.fixture
def builtin(tmp_path: Path) -> Path:
    return tmp_path / "built in"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def search(project: Path, builtin: Path) -> CatalogueSkill:
    write_skill(project, "web-search", extra=SEARCH)
    return load(project, builtin).catalogue.find("web-search")


def faults(loaded: Loaded) -> dict[str, str]:
    return {problem.file: problem.message for problem in loaded.problems}


def test_a_bad_folder_is_named_and_the_rest_loads(project: Path, builtin: Path) -> None:
    write_skill(project, "good")
    write_skill(project, "bad", extra="timeout_seconds: soon\n")
    loaded = load(project, builtin)
    assert list(loaded.catalogue.skills) == ["good"]
    [problem] = loaded.problems
    assert (problem.level, problem.file, problem.line, problem.key) == (
        "error",
        "skills/bad/skill.yaml",
        5,
        "timeout_seconds",
    )
    assert problem.message.startswith("skills/bad/skill.yaml:5: key 'timeout_seconds': found 'soon'")


def test_all_deviations_at_once_hide_no_good_skill(project: Path, builtin: Path) -> None:
    for case in CASES:
        write_files(project / "skills" / case.id, case.files)
    write_skill(project, "zebra")
    loaded = load(project, builtin)
    refused = {case.id for case in CASES if case.verdict == "refused"}
    named = {problem.file.split("/")[1] for problem in loaded.problems}
    assert refused <= named
    assert "zebra" in loaded.catalogue.skills


def test_a_project_cannot_take_the_name_of_a_built_in_skill(project: Path, builtin: Path) -> None:
    write_skill(builtin.parent / "b", "read-file")
    write_skill(project, "Read_File")
    loaded = load(project, builtin.parent / "b" / "skills")
    assert loaded.catalogue.find("read-file").origin == "builtin"
    assert "builtin/read-file" in faults(loaded)["skills/Read_File"]
    assert "'read-file'" in faults(loaded)["skills/Read_File"]


def test_two_folders_of_one_name_are_one_skill_and_one_problem(project: Path, builtin: Path) -> None:
    write_skill(project, "tidy")
    markdown = "---\nname: tidy\ndescription: Tidies too\n---\nGo."
    write_files(project / ".agents" / "skills" / "tidy", {"SKILL.md": markdown})
    loaded = load(project, builtin)
    assert loaded.catalogue.find("tidy").spec.kind == "script"
    assert "skills/tidy" in faults(loaded)[".agents/skills/tidy"]


def test_skills_of_other_clients_are_found(project: Path, builtin: Path) -> None:
    files: dict[str, str | bytes] = {
        "SKILL.md": "---\nname: pdf\ndescription: Reads PDF\n---\nGo.",
        "scripts/a.sh": "#!/bin/sh\n",
    }
    write_files(project / ".agents" / "skills" / "pdf", files)
    skill = load(project, builtin).catalogue.find("pdf")
    assert (skill.spec.kind, sorted(skill.files)) == ("prompt", ["SKILL.md", "scripts/a.sh"])


def test_folders_that_are_no_skills_are_left_alone(project: Path, builtin: Path) -> None:
    write_files(
        project / "skills", {"lib/helpers.py": "", "README.md": "", "_draft/skill.yaml": "", ".git/SKILL.md": ""}
    )
    assert load(project, builtin, builtin_agents=builtin, builtin_flows=builtin) == Loaded(Catalogue())


def test_native_skills_are_holdfasts_own(project: Path, builtin: Path) -> None:
    native = "name: {}\nversion: 1.0.0\ndescription: Asks\nkind: native\neffect: pure\n"
    write_files(builtin / "ask", {"skill.yaml": native.format("ask")})
    write_files(project / "skills" / "tell", {"skill.yaml": native.format("tell")})
    loaded = load(project, builtin)
    assert loaded.catalogue.find("ask").facts().kind == "native"
    assert "'native'" in faults(loaded)["skills/tell"]


def test_a_skill_that_lies_elsewhere_is_refused(project: Path, builtin: Path, tmp_path: Path) -> None:
    write_skill(tmp_path / "elsewhere", "tidy")
    (project / "skills").mkdir(parents=True)
    (project / "skills" / "tidy").symlink_to(tmp_path / "elsewhere" / "skills" / "tidy")
    assert "symbolic link" in faults(load(project, builtin))["skills/tidy"]


def test_only_two_thousand_folders_are_read(project: Path, builtin: Path) -> None:
    for number in range(2001):
        (project / "skills" / f"s{number:04}").mkdir(parents=True)
    assert "2001 folders" in faults(load(project, builtin))["skills"]


def test_arguments_bind_by_position_in_the_order_of_the_file(search: CatalogueSkill) -> None:
    assert search.bind(["x", 3], {"options": {}}) == {"query": "x", "limit": 3, "options": {}}
    assert search.bind([], {}) == {}


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        (["a", 1, {}, 4], {}, ["4 positional", "allowed: 3", "'query', 'limit', 'options'"]),
        (["a"], {"query": "b"}, ["'query'", "twice"]),
        ([], {"qurey": "b"}, ["'qurey'", "did you mean 'query'?", "allowed: 'query', 'limit', 'options'"]),
    ],
)
def test_arguments_that_do_not_bind_say_what_is_allowed(
    search: CatalogueSkill, args: list[Any], kwargs: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(SkillInputError) as refusal:
        search.bind(args, kwargs)
    assert [piece for piece in ["'web-search'", *named] if piece not in str(refusal.value)] == [], str(refusal.value)


def test_defaults_are_filled_in_also_within_objects(search: CatalogueSkill) -> None:
    given = {"query": "x", "options": {}}
    assert search.check_input(given) == {"query": "x", "limit": 5, "options": {"lang": "en"}}
    assert given == {"query": "x", "options": {}}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, ["arguments", "'query' missing"]),
        ({"query": 3}, ["arguments.query", "found 3 (integer)", "allowed: string"]),
        ({"query": ""}, ["arguments.query", "found ''", "at least 1 characters"]),
        ({"query": "x", "limit": True}, ["arguments.limit", "found True (boolean)", "allowed: integer"]),
        ({"query": "x", "limit": 51}, ["arguments.limit", "found 51", "at most 50"]),
        ({"query": "x", "options": {"lang": "fr"}}, ["arguments.options.lang", "found 'fr'", "one of 'en', 'de'"]),
        ({"query": "x", "limt": 3}, ["unknown 'limt'", "did you mean 'limit'?"]),
        ({"query": "x" * 9000, "limit": "y" * 9000}, ["arguments.limit", "… ("]),
    ],
)
def test_wrong_arguments_say_where_what_and_what_is_allowed(
    search: CatalogueSkill, arguments: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(SkillInputError) as refusal:
        search.check_input(arguments)
    assert [piece for piece in named if piece not in str(refusal.value)] == [], str(refusal.value)
    assert len(str(refusal.value)) < 600
    assert not refusal.value.retryable


def test_a_skill_without_a_schema_takes_any_names(project: Path, builtin: Path) -> None:
    write_skill(project, "free")
    skill = load(project, builtin).catalogue.find("free")
    assert skill.check_input(skill.bind([], {"any": 1})) == {"any": 1}
    skill.check_output(["any", None])


def test_a_schema_that_says_so_takes_further_names(project: Path, builtin: Path) -> None:
    write_skill(project, "free", extra="input_schema: {properties: {a: {}}, additionalProperties: {type: string}}\n")
    skill = load(project, builtin).catalogue.find("free")
    assert skill.check_input(skill.bind([1], {"b": "x"})) == {"a": 1, "b": "x"}
    with pytest.raises(SkillInputError, match=r"arguments\.b: found 2"):
        skill.check_input({"b": 2})


def test_an_answer_outside_of_its_schema_is_refused(search: CatalogueSkill) -> None:
    search.check_output({"total": 1, "more": True})
    with pytest.raises(SkillOutputError, match=r"answer\.total: found 'x' \(string\); allowed: integer"):
        search.check_output({"total": "x"})


def test_facts_carry_what_a_workflow_decides_by(search: CatalogueSkill) -> None:
    facts = search.facts()
    assert (facts.timeout_seconds, facts.max_retries, facts.max_age_seconds, facts.has_check) == (3.0, 7, 60.0, True)


def test_an_unknown_skill_is_answered_with_what_is_close(search: CatalogueSkill) -> None:
    catalogue = Catalogue({search.name: search})
    assert catalogue.find("Web_Search") is search
    with pytest.raises(
        UnknownSkill, match=r"no skill named 'websearch'; did you mean 'web-search'\? known: 'web-search'"
    ):
        catalogue.find("websearch")
    with pytest.raises(UnknownSkill, match="'shell'"):
        catalogue.granted(["web_search", "shell"])
    assert [facts.name for facts in catalogue.granted(["web_search", "web-search"])] == ["web-search"]


def test_the_list_by_tag_is_light(search: CatalogueSkill, project: Path, builtin: Path) -> None:
    write_skill(project, "other")
    catalogue = load(project, builtin).catalogue
    assert [row.name for row in catalogue.list()] == ["other", "web-search"]
    [row] = catalogue.list(tag="web")
    assert set(row.model_dump()) == {"name", "version", "description", "tags", "kind", "effect", "origin"}


def test_a_saved_snapshot_opens_as_it_was(project: Path, builtin: Path, blobs: BlobStore) -> None:
    folder = write_skill(project, "web-search", extra=SEARCH)
    write_files(folder, {"SKILL.md": "---\nname: web-search\ndescription: Searches\n---\nSparingly."})
    loaded = load(project, builtin)
    sha = loaded.catalogue.save(blobs)
    opened = Catalogue.open(blobs, sha)
    assert opened.skills == dict(loaded.catalogue.skills)
    assert Catalogue.open(blobs, sha) is opened
    assert opened.find("web-search").bind(["x", 1], {}) == {"query": "x", "limit": 1}
    assert opened.find("web-search").instructions(blobs) == "Sparingly."
    assert opened.save(blobs) == sha == load(project, builtin).catalogue.save(blobs)
    assert json.loads(blobs.get(sha))["format"] == 1
    assert blobs.get(opened.find("web-search").files["skill.py"]) == (folder / "skill.py").read_bytes()


def test_a_snapshot_of_another_format_or_none_is_refused(blobs: BlobStore) -> None:
    with pytest.raises(OperatorError, match="format 2; this version reads 1"):
        Catalogue.open(blobs, blobs.put_json({"format": 2, "skills": []}))
    with pytest.raises(NotFound):
        Catalogue.open(blobs, "0" * 64)


def test_a_live_edit_gives_a_new_catalogue_and_leaves_the_pinned_one(
    project: Path, builtin: Path, blobs: BlobStore
) -> None:
    folder = write_skill(project, "tidy", code="def run():\n    return 1\n")
    library = Library(project, builtin, blobs)
    pinned, sha, problems = library.current()
    assert (list(pinned.skills), problems) == (["tidy"], [])
    (folder / "skill.py").write_text("def run():\n    return 22\n")
    edited, other, _ = library.current()
    assert other != sha
    assert blobs.get(Catalogue.open(blobs, sha).find("tidy").files["skill.py"]).endswith(b"return 1\n")
    assert blobs.get(edited.find("tidy").files["skill.py"]).endswith(b"return 22\n")
    (folder / "skill.yaml").write_text("name: tidy\n")
    broken, _, problems = library.current()
    assert (list(broken.skills), len(problems)) == ([], 1)


def test_an_unchanged_library_reads_nothing_again(project: Path, builtin: Path, blobs: BlobStore) -> None:
    write_skill(project, "tidy", extra="tagz: [a]\n")
    library = Library(project, builtin, blobs, builtin_agents=builtin, builtin_flows=builtin)
    first = library.current()
    assert [warning.key for warning in library.warnings] == [None]
    assert "'tagz'" in library.warnings[0].message
    assert library.current()[0] is first[0]
