"""What a skill is: `SkillSpec`, read from a folder with a SKILL.md, a `skill.yaml`, or both.

A fault that leaves no doubt about what is meant is a warning; the rest is refused, with file, line and key.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError

from holdfast.approvals import rule_of
from holdfast.contracts.approval import ApprovalRule
from holdfast.contracts.base import Contract, Json
from holdfast.contracts.skill import Effect, Kind, Weight
from holdfast.errors import shown
from holdfast.names import identifier
from holdfast.schemas import compiled
from holdfast.skillcode import missing_function, syntax_fault
from holdfast.skilldraft import Draft
from holdfast.skillfiles import read_folder, read_text

UndeclaredEffect = Literal["guess", "once", "pure"]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\??$")]
"""The name of an environment variable. With a `?` behind it the skill works without, too."""
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\].*\.py$")]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _of_word(found: Any) -> Any:
    """Snapshots of older versions hold the word."""
    return rule_of(found) if isinstance(found, str) else found


Approval = Annotated[
    ApprovalRule | None,
    BeforeValidator(_of_word, json_schema_input_type=Literal["always", "never"] | ApprovalRule | None),
]


class Example(Contract):
    """How a skill is used well: its arguments, or a piece of a program, and why one would."""

    arguments: dict[str, Json] | None = None
    program: str | None = None
    why: str = ""


class SkillSpec(Contract):
    """The typed part of a skill. `parameters` is the order in which positional arguments bind."""

    name: str
    description: str
    version: str = "0.0.0"
    tags: list[str] = []
    kind: Kind = "script"
    input_schema: dict[str, Json] = {"type": "object"}
    output_schema: dict[str, Json] = {}
    parameters: list[str] = []
    effect: Effect = "pure"
    effect_declared: bool = False
    weight: Weight = "normal"
    timeout_seconds: float = Field(default=60.0, gt=0, le=30 * 86400)
    max_retries: int = Field(default=2, ge=0, le=100)
    max_age_seconds: float | None = Field(default=None, ge=0)
    secrets: list[SecretName] = []
    network: bool = False
    writes: bool = False
    examples: list[Example] = []
    prompt_template: str | None = None
    handler: FileName | None = None
    function: FunctionName | None = None
    check: FunctionName | None = None
    approval: Approval = None
    license: str | None = None
    compatibility: str | None = None
    metadata: dict[str, str] = {}
    allowed_tools: str | None = None

    @property
    def identifier(self) -> str:
        """The name by which programs call it."""
        return identifier(self.name)


@dataclass(frozen=True)
class ParsedSkill:
    """A skill as found in a folder. `instructions` is the body of SKILL.md; `files` holds every file's bytes."""

    spec: SkillSpec
    warnings: list[str] = field(default_factory=list)
    instructions: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


def parse_skill(folder: Path, undeclared: UndeclaredEffect = "guess", label: str | None = None) -> ParsedSkill:
    """Read a skill's folder. `undeclared` is the effect of a skill that declares none (setting `undeclared_effect`);
    `label` is how messages call the folder.

    Raises:
        SpecInvalid: names the file, the line where there is one, the key, what was found and what is allowed.
    """
    label = label or str(folder)
    files = read_folder(folder, label)
    text = read_text(files, label)
    draft = Draft.of(text, folder.name, label, files)
    spec = _finished(draft, undeclared)
    _advise_schemas(spec, draft)
    _advise_code(spec, files, draft)
    return ParsedSkill(spec, draft.warnings, text.body, files)


def _finished(draft: Draft, undeclared: UndeclaredEffect) -> SkillSpec:
    values = dict(draft.values)
    values["effect_declared"] = "effect" in values
    spec = _validated(draft, values)
    if not spec.effect_declared:
        spec = spec.model_copy(update={"effect": _guessed(spec, undeclared, draft)})
    return _weighed(spec, draft)


def _weighed(spec: SkillSpec, draft: Draft) -> SkillSpec:
    """A light call may run again, and holds its program's other calls up while it runs."""
    if spec.weight == "normal" or (spec.effect == "pure" and spec.kind in ("script", "engine")):
        return spec
    found = f"this {spec.kind} has effect {spec.effect!r}"
    draft.warn("weight", f"found 'light', allowed for scripts with effect 'pure'; {found}, and counts as 'normal'")
    return spec.model_copy(update={"weight": "normal"})


def _validated(draft: Draft, values: dict[str, Any]) -> SkillSpec:
    try:
        return SkillSpec.model_validate(values)
    except ValidationError as exc:
        error = exc.errors()[0]
        inner = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"][1:])
        message = error["msg"].replace("Input should be", "allowed:")
        raise draft.wrong(str(error["loc"][0]), f"found {shown(error['input'])}; {message}", inner) from None


def guessed_effect(spec: SkillSpec, undeclared: UndeclaredEffect) -> Effect:
    """The effect of a skill with code that declares none."""
    reaches_out = spec.network or spec.writes or bool(spec.secrets)
    return ("once" if reaches_out else "pure") if undeclared == "guess" else undeclared


def _guessed(spec: SkillSpec, undeclared: UndeclaredEffect, draft: Draft) -> Effect:
    if spec.kind == "prompt":
        return "pure"
    effect = guessed_effect(spec, undeclared)
    draft.warn("effect", f"not set; {effect!r} is assumed. Allowed: pure, idempotent, keyed, once")
    return effect


def _advise_schemas(spec: SkillSpec, draft: Draft) -> None:
    """Warn of what will only hurt when the skill is called: defaults and examples that do not fit the schema."""
    schema = spec.input_schema
    defaults = compiled(schema).with_defaults({})
    for problem in compiled({**schema, "required": []}).problems(defaults, "defaults"):
        draft.warn("input_schema", f"a default does not fit its own schema: {problem}")
    for number, example in enumerate(spec.examples, 1):
        if example.arguments is not None:
            for problem in compiled(schema).problems(compiled(schema).with_defaults(example.arguments), "arguments"):
                draft.warn("examples", f"example {number} does not fit input_schema: {problem}")


def _advise_code(spec: SkillSpec, files: dict[str, bytes], draft: Draft) -> None:
    if spec.handler is None:
        return
    source = files[spec.handler]
    fault = syntax_fault(source, f"{draft.label}/{spec.handler}")
    if fault is not None:
        draft.own_warnings.append(fault)
        return
    for key, name in (("function", spec.function), ("check", spec.check)):
        missing = missing_function(source, name) if name else None
        if missing:
            draft.warn(key, missing)
