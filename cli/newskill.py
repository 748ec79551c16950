"""`skills new`: a small skill that works, in the project's folder."""

from pathlib import Path

from cli import screen
from holdfast.config import Settings
from holdfast.errors import Conflict, UserError, shown
from holdfast.names import RESERVED, canonical_name, identifier, listed

_HEAD = """\
# Checked by: holdfast skills check skills/{name}
name: {name}
version: 0.1.0
description: {description} A model chooses a skill by this line, so say what it does and when to use it.
tags: []
kind: {kind}
"""

_SCRIPT = """\
# What running it again would do. pure: nothing. idempotent: the same. keyed: the same, if context.key is handed on.
# once: harm, so it is never run again without asking.
effect: pure
timeout_seconds: 60
# Variables that it may see, as context.secrets["NAME"]; `network` and `writes` say what it reaches.
secrets: []
network: false
writes: false
input_schema:
  type: object
  additionalProperties: false
  properties:
    text: {type: string, description: "What to count in."}
  required: [text]
output_schema:
  type: object
  properties:
    words: {type: integer}
  required: [words]
examples:
  - why: Count the words of a sentence
    arguments: {text: one two three}
"""

_ASKING = """\
effect: pure
timeout_seconds: 120
input_schema:
  type: object
  additionalProperties: false
  properties:
    text: {type: string, description: "What to put a title on."}
    language: {type: string, default: English}
  required: [text]
output_schema:
  type: object
  properties:
    title: {type: string}
  required: [title]
prompt_template: |
  Write a title of at most eight words, in {{language}}, for this text:

  {{text}}
examples:
  - why: A title for a note
    arguments: {text: The release moves to Friday.}
"""

_SCRIPT_CODE = '''\
"""The code of the skill. Arguments come by name, checked and with defaults; what is returned is the answer."""


def run(text: str) -> dict[str, int]:
    return {"words": len(text.split())}
'''

_HYBRID_CODE = '''\
"""The code of the skill. `context.llm()` asks the model with the prompt_template of skill.yaml, filled in."""

from typing import Any


def run(text: str, language: str, context: Any) -> dict[str, str]:
    title = context.llm(text=" ".join(text.split()))
    return {"title": title.strip().rstrip(".")}
'''

_DESCRIPTIONS = {"script": "Counts words.", "prompt": "Finds a title.", "hybrid": "Finds a title."}
_ARGUMENTS = {"script": '{"text": "one two three"}', "prompt": '{"text": "The release moves to Friday."}'}


def new(settings: Settings, name: str, kind: str) -> None:
    """
    Raises:
        UserError: it is no name for a skill. Conflict: the folder is there already.
    """
    folder = settings.project / "skills" / _named(name)
    files = _files(folder.name, kind)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise Conflict(f"{folder} is there already; choose another name, or edit it") from None
    for file, text in files.items():
        (folder / file).write_text(text, "utf-8")
    _told(folder, kind, files)


def _named(name: str) -> str:
    wanted = canonical_name(name)
    if not wanted or wanted != name.replace("_", "-"):
        hint = f"; for instance {wanted!r}" if wanted else ""
        raise UserError(f"no name for a skill: {shown(name)}; allowed are lower-case letters, digits, hyphens{hint}")
    if identifier(wanted) in RESERVED:
        raise UserError(f"programs use {shown(name)} otherwise; reserved: {listed(sorted(RESERVED))}")
    return wanted


def _files(name: str, kind: str) -> dict[str, str]:
    head = _HEAD.format(name=name, kind=kind, description=_DESCRIPTIONS[kind])
    match kind:
        case "script":
            return {"skill.yaml": head + _SCRIPT, "skill.py": _SCRIPT_CODE}
        case "hybrid":
            return {"skill.yaml": head + _ASKING, "skill.py": _HYBRID_CODE}
        case _:
            return {"skill.yaml": head + _ASKING}


def _told(folder: Path, kind: str, files: dict[str, str]) -> None:
    screen.result(str(folder))
    screen.say(f"made {' and '.join(files)}; check and try it:")
    screen.say(f"  holdfast skills check skills/{folder.name}", "bold")
    arguments = _ARGUMENTS["script" if kind == "script" else "prompt"]
    screen.say(f"  holdfast skills run {folder.name} --input '{arguments}'", "bold")
