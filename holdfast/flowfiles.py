"""From a file to a flow: `FlowSpec`, or the error that names file, line and key."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast import cel, convergence, forms
from holdfast.contracts.base import Origin
from holdfast.contracts.flow import COMPENSATE, AskSpec, FlowSpec, StepKind, StepRetry, StepSpec
from holdfast.contracts.timing import Scheduled
from holdfast.errors import SpecInvalid, shown
from holdfast.filedraft import Draft
from holdfast.flowgraph import NAMES, check_graph
from holdfast.flowkeys import SHAPE, WORK, FieldCheck, FlowKeys, StepKeys
from holdfast.names import canonical_name, listed, suggestion
from holdfast.schedulekeys import Fault, scheduled
from holdfast.schemas import compiled
from holdfast.skillschema import any_schema
from holdfast.source import check as check_source
from holdfast.source import describe, normalise
from holdfast.sources import Sources
from holdfast.yamlfile import read_mapping

FlowDraft = Draft[FlowKeys]

_STEP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class FlowFile:
    """Where a flow stands. `label` is how messages call the file; `root` is the folder that it must not lead out of."""

    path: Path
    label: str
    root: Path
    origin: Origin = "project"


@dataclass(frozen=True)
class ParsedFlow:
    """`draft` says where in the file a step stands, for those who find fault with it later."""

    spec: FlowSpec
    draft: FlowDraft = field(repr=False, compare=False)

    @property
    def warnings(self) -> list[str]:
        return self.draft.document.warnings


def parse_flow(file: FlowFile, sources: Sources) -> ParsedFlow:
    """Read one file.

    Raises:
        SpecInvalid: names the file, the line where there is one, the key, what was found and what is allowed.
    """
    draft = Draft(read_mapping(sources.text(file.path, file.root, file.label), file.label), SHAPE)
    keys = draft.keys()
    steps = _Steps(draft, file, sources).all(keys.steps)
    input_schema = _input_schema(keys, draft)
    spec = FlowSpec(
        name=keys.name,
        description=keys.description.strip(),
        coordination=keys.coordination_type,
        max_iterations=keys.max_iterations,
        convergence_check=_check_name(keys),
        convergence=_convergence(keys, draft),
        input_schema=input_schema,
        steps=steps,
        on_failure=on_failure(keys.on_failure, "on_failure", draft),
        max_parallel=keys.max_parallel,
        timeout_seconds=keys.timeout_seconds,
        events=keys.triggers.events,
        enabled=keys.enabled,
        tags=keys.tags,
        schedule=_schedule(keys, input_schema, draft),
        origin=file.origin,
    )
    check_graph(spec, draft)
    return ParsedFlow(spec, draft)


def _check_name(keys: FlowKeys) -> str:
    if keys.convergence is not None:
        return "expression"
    if isinstance(keys.convergence_check, FieldCheck):
        return f"{keys.convergence_check.field} {keys.convergence_check.op} {keys.convergence_check.value}"
    return keys.convergence_check or convergence.APPROVED


def _convergence(keys: FlowKeys, draft: FlowDraft) -> str:
    check = keys.convergence_check
    if keys.quality_threshold is not None and check != convergence.QUALITY:
        raise draft.wrong("quality_threshold", f"allowed with convergence_check: {convergence.QUALITY} only")
    if keys.convergence is not None:
        if check is not None:
            raise draft.wrong("convergence", "found beside 'convergence_check'; allowed is one")
        return expression(keys.convergence, "convergence", draft)
    if isinstance(check, FieldCheck):
        try:
            return convergence.fielded(check)
        except ValueError as exc:
            raise draft.wrong("convergence_check", str(exc)) from None
    if check not in (None, *convergence.CHECKS):
        allowed = f"{listed(convergence.CHECKS)}, a mapping of field, op and value, or CEL as 'convergence'"
        hint = suggestion(check, convergence.CHECKS)
        raise draft.wrong("convergence_check", f"found {shown(check)};{hint} allowed: {allowed}")
    return convergence.named(check or convergence.APPROVED, keys.quality_threshold)


def _input_schema(keys: FlowKeys, draft: FlowDraft) -> dict[str, Any] | None:
    if keys.input_schema is None:
        return None
    try:
        schema, warnings = any_schema(keys.input_schema)
    except ValueError as exc:
        raise draft.wrong("input_schema", str(exc)) from None
    for warning in warnings:
        draft.warn("input_schema", warning)
    return schema


def _schedule(keys: FlowKeys, schema: dict[str, Any] | None, draft: FlowDraft) -> Scheduled | None:
    if keys.triggers.schedule is None:
        return None
    try:
        found = scheduled(keys.triggers.schedule, draft.document.file)
    except Fault as exc:
        raise draft.wrong(f"triggers.schedule.{exc.key}", exc.message) from None
    problems = compiled(schema).problems(found.input, "input") if schema is not None else []
    if problems:
        raise draft.wrong("triggers.schedule.input", f"does not fit the flow's input_schema: {'; '.join(problems)}")
    return found


def expression(text: str, path: str, draft: FlowDraft) -> str:
    """
    Raises:
        SpecInvalid: it is no CEL, or needs a name that there is not.
    """
    try:
        unknown = [name for name in cel.names_in(text) if name not in NAMES]
    except ValueError as exc:
        raise draft.wrong(path, str(exc)) from None
    if unknown:
        hint = suggestion(unknown[0], NAMES)
        raise draft.wrong(path, f"{shown(text)} needs {unknown[0]!r};{hint} there are: {listed(NAMES)}")
    return text


def on_failure(found: str, path: str, draft: FlowDraft) -> str:
    """
    Raises:
        SpecInvalid: it is no policy.
    """
    word, colon, step = found.partition(":")
    if word in ("fail", "continue") and not colon:
        return word
    if word == "compensate" and _STEP_NAME.fullmatch(step.strip()):
        return f"{COMPENSATE}{step.strip()}"
    raise draft.wrong(path, f"found {shown(found)}; allowed: 'fail', 'continue', 'compensate:<step>'")


class _Steps:
    """The steps of one file."""

    def __init__(self, draft: FlowDraft, file: FlowFile, sources: Sources) -> None:
        self.draft, self.file, self.sources = draft, file, sources
        self.taken: set[str] = set()

    def all(self, found: list[StepKeys]) -> list[StepSpec]:
        self.taken = {step.name for step in found if step.name is not None}
        return [self._step(step, f"steps[{number}]") for number, step in enumerate(found)]

    def _step(self, keys: StepKeys, path: str) -> StepSpec:
        kind, who = self._work(keys, path)
        return StepSpec(
            name=keys.name or self._free(who if _STEP_NAME.fullmatch(who) else kind),
            kind=kind,
            who=who,
            program=self._program(keys, path),
            ask=self._asked(keys, path),
            input=keys.input,
            depends_on=list(dict.fromkeys(keys.depends_on)),
            condition=expression(keys.condition, f"{path}.condition", self.draft) if keys.condition.strip() else "",
            retry=StepRetry.model_validate(keys.retry.model_dump()),
            timeout_seconds=keys.timeout_seconds,
            on_failure=on_failure(keys.on_failure, f"{path}.on_failure", self.draft),
        )

    def _work(self, keys: StepKeys, path: str) -> tuple[StepKind, str]:
        there = [key for key in WORK if getattr(keys, key) is not None]
        if len(there) != 1:
            found = listed(there) if there else f"none of them, but {listed(keys.model_fields_set)}"
            raise self.draft.wrong(path, f"found {found}; a step has exactly one of {listed(WORK)}")
        match there[0]:
            case "agent" | "skill" | "flow" as kind:
                return kind, self._who(getattr(keys, kind), f"{path}.{kind}")
            case "ask":
                return "ask", ""
        return "program", ""

    def _who(self, name: str, path: str) -> str:
        who = canonical_name(name)
        if not who:
            raise self.draft.wrong(path, f"found {shown(name)}; allowed is a name of letters, digits, '_' and '-'")
        return who

    def _free(self, wanted: str) -> str:
        """A name for a step that has none: `research`, then `research-2`."""
        numbered = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, len(self.taken) + 3))
        name = next(name[-64:] for name in numbered if name[-64:] not in self.taken)
        self.taken.add(name)
        return name

    def _program(self, keys: StepKeys, path: str) -> str:
        if keys.program_file is None and keys.program is None:
            return ""
        key = f"{path}.program" if keys.program is not None else f"{path}.program_file"
        text = keys.program if keys.program is not None else self._text(keys.program_file or "", key)
        problems = check_source(normalise(text), None)
        if problems:
            raise self.draft.wrong(key, describe(problems))
        return text

    def _asked(self, keys: StepKeys, path: str) -> AskSpec | None:
        if keys.ask is None:
            return None
        asked = {"text": keys.ask} if isinstance(keys.ask, str) else keys.ask.model_dump()
        if wrong := forms.fault(asked):
            raise self.draft.wrong(f"{path}.ask.{wrong[0]}", wrong[1])
        return AskSpec.model_validate(asked)

    def _text(self, name: str, key: str) -> str:
        try:
            return self.sources.text(self.file.path.parent / name, self.file.root, name)
        except SpecInvalid as exc:
            raise self.draft.wrong(key, str(exc)) from None
