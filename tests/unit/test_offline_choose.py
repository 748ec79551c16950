"""The offline provider's choice of skills: what a sentence leads to, and what it does not."""

from pathlib import Path
from typing import Any

import pytest

from providers.offline.choose import Choice, choose
from tests.support.offline_skills import put_skill, skills

BUGS = {"checks": ["bugs"]}
CHOICES: list[tuple[str, list[Any]]] = [
    ("Review examples/inventory for bugs and security problems", [("code-analysis", BUGS), "security-scan"]),
    ("Review examples/inventory", ["code-analysis"]),
    ("Please review the code in src and tell me about bugs", [("code-analysis", BUGS)]),
    ("Analyse shop/pricing.py", ["code-analysis"]),
    ("Analyze the code quality of examples/inventory/shop", ["code-analysis"]),
    ("Check examples/inventory/shop/importer.py for errors", ["code-analysis"]),
    ("Which functions in examples/inventory are too complex?", ["code-analysis"]),
    ("Review the shop folder", ["code-analysis"]),
    ("Find bugs in examples/inventory", [("code-analysis", BUGS)]),
    ("Count the lines of code in src", ["code-analysis"]),
    ("How good is the code in src?", ["code-analysis"]),
    ("Review the code in src and tell me the most important problems", ["code-analysis"]),
    ("Is there any SQL injection in src?", ["security-scan"]),
    ("Scan src for leaked keys", ["security-scan"]),
    ("Audit the security of examples/inventory", ["security-scan"]),
    ("Are there any secrets or passwords in examples/inventory?", ["security-scan"]),
    ("Look for vulnerabilities in src/app.py", ["security-scan"]),
    ("Profile examples/inventory/data/products.csv", ["data-profile"]),
    ("Review examples/inventory/data/products.csv", ["data-profile"]),
    ("What is wrong with examples/inventory/data/movements.csv?", ["data-profile"]),
    ("Check the data quality in examples/inventory/data", ["data-profile"]),
    ("How many rows does data/products.csv have?", ["data-profile"]),
    ("Find duplicates in data/products.csv", ["data-profile"]),
    ("List all Python files in examples", ["list-files"]),
    ("Which files are in examples/inventory?", ["list-files"]),
    ("Show me the files below src", ["list-files"]),
    ("Read README.md", ["read-file"]),
    ("Show me what README.md says", ["read-file"]),
    ("Find 'TODO' in src", [("find-in-files", {"pattern": "TODO"})]),
    ("Search for reorder_level in examples/inventory", [("find-in-files", {"pattern": "reorder_level"})]),
    ("Search for price in examples/inventory", [("find-in-files", {"pattern": "price"})]),
    ("Find all uses of `float(` in examples/inventory", [("find-in-files", {"pattern": "float("})]),
    ("Search for TODO comments in src", [("find-in-files", {"pattern": "TODO"})]),
    ("Which Python files in examples mention sqlite3?", [("find-in-files", {"pattern": "sqlite3"})]),
    ("Find the word price in *.py", [("find-in-files", {"pattern": "price"})]),
    ("Summarise examples/inventory/README.md", ["summarize"]),
    ("Give me a summary of README.md in 200 characters", [("summarize", {"max_length": 200})]),
    ("Search the web for durable execution in Python", [("web-search", {"query": "durable execution in Python"})]),
    (
        'Write "hello world" to notes/hello.txt',
        [("write-file", {"path": "notes/hello.txt", "content": "hello world"})],
    ),
    (
        "Review examples/inventory and write the report to review.md",
        ["code-analysis", ("write-file", {"path": "review.md"})],
    ),
    (
        "Review examples/inventory for bugs, security problems and bad data",
        [("code-analysis", BUGS), "security-scan", "data-profile"],
    ),
    ("Find 'TODO' in src and list files in examples", ["list-files", ("find-in-files", {"pattern": "TODO"})]),
    ("Wait 3 seconds", [("sleep", {"seconds": 3})]),
    ('Ask "Shall we go on?"', [("ask", {"text": "Shall we go on?"})]),
]
REFUSED = [
    "Write a poem about rain",
    "What is the capital of France?",
    "Explain how this code works",
    "Translate README.md to French",
    "Fix the bugs in shop/pricing.py",
    "Implement a REST API for code review",
    "Write a function that sorts a list",
    "Why is the sky blue?",
    "Compare a.csv and b.csv",
    "Find a good restaurant in Berlin",
    "Find the answer to life",
    "Email products.csv to Bob",
    "Create a website about security",
    "Tell me a joke about data",
    "Summarize the history of Rome",
    "Write a review of the movie Inception",
    "Delete all files in src",
    "Run the tests in examples/inventory",
    "What does shop/pricing.py do?",
    "Which products are out of stock in data/products.csv?",
    "Sort data/products.csv by price",
    "Add a feature to src/app.py",
    "Explain the security problems of src",
    "Find the largest file in src",
    "Count words in README.md",
    "Hello",
    "",
    "?!",
]


def chosen(choice: Choice) -> list[Any]:
    return [(step.name, step.filled.arguments) if step.filled.arguments else step.name for step in choice.steps]


@pytest.mark.parametrize(("task", "steps"), CHOICES)
def test_a_task_leads_to_the_skills_that_do_it(task: str, steps: list[Any]) -> None:
    assert chosen(choose(task, skills())) == steps


@pytest.mark.parametrize("task", REFUSED)
def test_a_task_that_needs_thought_leads_to_no_skill(task: str) -> None:
    choice = choose(task, skills())
    assert (chosen(choice), choice.lacking) == ([], None)


@pytest.mark.parametrize("task", [task for task, _ in CHOICES])
def test_the_planned_skills_alone_lead_to_the_same_choice(task: str) -> None:
    plan = choose(task, skills())
    again = choose(task, skills(None, *plan.names))
    assert [step.name for step in again.steps] == [step.name for step in plan.steps]
    assert set(again.names) == set(plan.names)


def test_only_permitted_skills_are_chosen() -> None:
    choice = choose("Review examples/inventory for bugs and security problems", skills(None, "security-scan"))
    assert choice.names == ["security-scan"]
    assert choice.unmatched == ("bugs",)
    assert choose("Summarise README.md", skills(None, "summarize", "list-files")).steps == ()


def test_files_are_found_and_read_by_the_skills_for_that() -> None:
    assert choose("Review src", skills()).names == ["code-analysis", "list-files"]
    assert choose("Summarise README.md", skills()).names == ["summarize", "list-files", "read-file"]
    assert choose("Find 'x' in src", skills()).names == ["find-in-files"]


def test_what_no_skill_understood_is_told() -> None:
    assert choose("Create a security report for examples/inventory", skills()).unmatched == ("create",)


def test_one_argument_that_is_missing_is_asked_for_and_taken_from_the_answer() -> None:
    choice = choose("Search the files in src", skills())
    assert choice.lacking is not None
    assert (choice.lacking.name, choice.lacking.filled.missing) == ("find-in-files", ["pattern"])
    assert chosen(choose("Search the files in src", skills(), ("TODO",))) == [("find-in-files", {"pattern": "TODO"})]


GREET = """
name: greet
version: 1.0.0
description: Greets a guest of the house.
effect: pure
input_schema:
  type: object
  required: [name, times]
  properties: {name: {type: string}, times: {type: integer}, loud: {type: boolean}}
examples:
  - why: Greet one guest
    arguments: {name: Ada, times: 1}
  - why: Welcome a whole family
    arguments: {name: the Lovelaces, times: 3, loud: true}
"""
NOTE = """
name: send-note
version: 1.0.0
description: Sends a note to somebody.
effect: once
input_schema:
  type: object
  required: [to]
  properties: {to: {type: string}}
examples:
  - why: Send a note
    arguments: {to: bob@example.org}
"""
CODE = "def run(**_):\n    return 1\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    put_skill(tmp_path, "greet", GREET, CODE)
    put_skill(tmp_path, "send-note", NOTE, CODE)
    return tmp_path


@pytest.mark.parametrize(
    ("task", "arguments", "example"),
    [
        ("Greet a guest", {"name": "Ada", "times": 1}, 1),
        ("Greet 'Grace Hopper'", {"name": "Grace Hopper", "times": 1}, 1),
        ("Welcome a family, times=5 loud=false", {"name": "the Lovelaces", "times": 5, "loud": False}, 2),
        ("Greet name=Joan", {"name": "Joan", "times": 1}, 1),
    ],
)
def test_a_projects_skill_is_called_as_in_its_fitting_example_with_what_the_task_names(
    project: Path, task: str, arguments: dict[str, Any], example: int
) -> None:
    (step,) = choose(task, skills(project)).steps
    assert (step.name, step.filled.arguments, step.filled.example) == ("greet", arguments, example)


def test_a_skill_with_an_effect_gets_no_value_from_its_example(project: Path) -> None:
    choice = choose("Send a note", skills(project))
    assert choice.steps == ()
    assert choice.lacking is not None
    assert choice.lacking.filled.missing == ["to"]
    assert chosen(choose("Send a note to='eve@example.org'", skills(project))) == [
        ("send-note", {"to": "eve@example.org"})
    ]
