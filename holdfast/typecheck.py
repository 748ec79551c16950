"""Calls of skills that surely fail, found before a program runs: wrong names, missing arguments, wrong types.

It comes after `source.check`. What a call's text shows is judged by the skill's schema, types of variables come from
a type checker. Silence is no promise, but a finding is one: a false alarm would be worse than a miss.
"""

import ast
import builtins
import re
from collections.abc import Iterator, Sequence

from holdfast import callcheck, stubs, typechecker
from holdfast.foundtypes import is_surely_wrong, parts
from holdfast.snapshot import CatalogueSkill
from holdfast.source import Problem, Source, parsed, skill_calls
from holdfast.typechecker import Finding

_SHOWN_PROBLEMS = 20
_MAX_NODES = 10_000
"""Of a program's tree: about 1,200 lines. More would take longer than the check is worth."""

_DYNAMIC = frozenset({"__builtins__", "__import__", "exec", "eval", "globals", "locals", "setattr", "vars"})
"""A program with one of these may change its names behind a checker's back."""

_OF = re.compile(rf"function `{stubs.PREFIX}(\w+)`")
_TICKED = re.compile(r"`(\w+)`")
_FOUND = re.compile(r", found `(.*)`$", re.DOTALL)

At = tuple[int, int]
"""Line and column of the program, both from 1."""

Nodes = Sequence[ast.AST]
"""All nodes of a program's tree."""


def check_calls(source: Source, skills: Sequence[CatalogueSkill]) -> list[Problem]:
    """What is surely wrong with a program's calls, in the order of its lines. `source` must have passed `source.check`.

    A call whose failure the program catches is left alone. Takes about 50 ms; nothing, where no skill is named.
    """
    tree = parsed(source)
    nodes = list(ast.walk(tree))
    if len(nodes) > _MAX_NODES or not _names_any(nodes, skills) or _changes_skills(nodes):
        return []
    program = _Program(source.source, tree, nodes, skills)
    found = {**program.typed(), **program.written()}
    rows = [Problem(line + source.first_line - 1, column, text) for (line, column), text in sorted(found.items())]
    return rows[:_SHOWN_PROBLEMS]


class _Program:
    """A program's calls and where they stand."""

    def __init__(self, text: str, tree: ast.Module, nodes: Nodes, skills: Sequence[CatalogueSkill]) -> None:
        self.text, self.tree, self.nodes, self.skills = text, tree, nodes, skills
        self.lines = [line.encode() for line in re.split(r"\r\n|\r|\n", text)]
        self.caught = set(_caught(nodes))
        self.shared = {name for node in nodes if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}

    def written(self) -> dict[At, str]:
        """What the text of calls shows."""
        by_name = {skill.name: skill for skill in self.skills}
        return {
            self._at(node): text
            for call, name in skill_calls(self.tree, list(by_name))
            if name in by_name and self._counts(call)
            for node, text in callcheck.problems(call, by_name[name])
        }

    def typed(self) -> dict[At, str]:
        """What the checker says, as far as it is sure."""
        if _names(self.nodes) & _DYNAMIC or self._is_evident():
            return {}
        texts = {"skills.pyi": stubs.module(self.skills), "__builtins__.pyi": stubs.global_names(self.skills)}
        by_identifier = {skill.spec.identifier: skill for skill in self.skills}
        calls = self._calls()
        found: dict[At, str] = {}
        for finding in typechecker.findings(self.text, texts):
            of, call = _OF.search(finding.message), calls.get((finding.line, finding.column))
            if of and call and self._counts(call) and (text := self._explained(finding, call, by_identifier[of[1]])):
                found.setdefault((finding.line, finding.column), text)
        return found

    def _is_evident(self) -> bool:
        """Whether the calls' own text shows all that a checker could find: then 40 ms are saved."""
        by_name = {skill.name: skill for skill in self.skills}
        calls = [(call, by_name[name]) for call, name in skill_calls(self.tree, list(by_name)) if name in by_name]
        called = {call.func.value if isinstance(call.func, ast.Attribute) else call.func for call, _ in calls}
        named = {"skills", *(skill.spec.identifier for skill in self.skills)}
        mentioned = {node for node in self.nodes if isinstance(node, ast.Name) and node.id in named}
        imports = any(isinstance(node, ast.Import | ast.ImportFrom) and _is_ours(node) for node in self.nodes)
        return not imports and mentioned <= called and all(self._is_written_out(*one) for one in calls)

    def _is_written_out(self, call: ast.Call, skill: CatalogueSkill) -> bool:
        if not self._counts(call):
            return True
        given = callcheck.arguments(call, skill)
        return all(_shows(value) or _fits_as_text(value, skill, name) for _, name, value in given)

    def _counts(self, call: ast.Call) -> bool:
        return call not in self.caught and not callcheck.is_spread(call)

    def _calls(self) -> dict[At, ast.Call]:
        """Calls by their own place and by that of each argument."""
        calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        by_place = {self._at(call): call for call in calls}
        return by_place | {self._at(node): call for call in calls for node in (*call.args, *call.keywords)}

    def _at(self, node: ast.AST) -> At:
        """`col_offset` counts bytes from 0."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        if self.text.isascii():
            return line, column + 1
        return line, len(self.lines[line - 1][:column].decode(errors="replace")) + 1

    def _explained(self, finding: Finding, call: ast.Call, skill: CatalogueSkill) -> str:
        ticked = [name for name in _TICKED.findall(finding.message) if not name.startswith(stubs.PREFIX)]
        match finding.rule:
            case "unknown-argument":
                return callcheck.unknown(skill, ticked[0])
            case "missing-argument":
                return callcheck.misses(skill, ticked)
            case "too-many-positional-arguments":
                return callcheck.too_many(skill)
            case "parameter-already-assigned":
                return callcheck.twice(skill, ticked[0])
            case "invalid-argument-type":
                return self._wrong_type(finding, call, skill)
        return ""

    def _wrong_type(self, finding: Finding, call: ast.Call, skill: CatalogueSkill) -> str:
        here = (finding.line, finding.column)
        given = callcheck.arguments(call, skill)
        name, value = next(((name, value) for node, name, value in given if self._at(node) == here), ("", None))
        found = _FOUND.search(finding.message)
        if not name or value is None or found is None or not self._is_plain(value):
            return ""
        if not is_surely_wrong(found[1], stubs.types_of(stubs.schema_of(skill, name))):
            return ""
        return callcheck.wrong_type(skill, name, " | ".join(parts(found[1])))

    def _is_plain(self, value: ast.expr) -> bool:
        """Whether its type cannot have been changed out of a checker's sight, as that of an attribute can."""
        methods = {node.func for node in ast.walk(value) if isinstance(node, ast.Call)}
        return not any(
            (isinstance(node, ast.Attribute | ast.Subscript) and node not in methods)
            or (isinstance(node, ast.Name) and node.id in self.shared)
            for node in ast.walk(value)
        )


def _shows(value: ast.expr) -> bool:
    """Whether it is a literal."""
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _fits_as_text(value: ast.expr, skill: CatalogueSkill, name: str) -> bool:
    if not isinstance(value, ast.JoinedStr) or name not in skill.spec.parameters:
        return False
    return not is_surely_wrong("str", stubs.types_of(stubs.schema_of(skill, name)))


def _names(nodes: Nodes) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _names_any(nodes: Nodes, skills: Sequence[CatalogueSkill]) -> bool:
    imported = any(isinstance(node, ast.Import | ast.ImportFrom) and _is_ours(node) for node in nodes)
    return imported or bool(_names(nodes) & {"skills", *(skill.spec.identifier for skill in skills)})


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "skills"
    return any(each.name == "skills" for each in node.names)


def _changes_skills(nodes: Nodes) -> bool:
    """Whether it gives a skill a meaning of its own: `skills.echo = …`."""
    return any(
        isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and _is_name(node.value, "skills")
        for node in nodes
    )


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _caught(nodes: Nodes) -> Iterator[ast.AST]:
    """Everything in a program whose SkillError it catches right there."""
    for node in nodes:
        match node:
            case ast.Try(body=body, handlers=handlers) | ast.TryStar(body=body, handlers=handlers):
                if any(_may_catch(each.type) for each in handlers):
                    yield from _all_in(body)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                if any(_ends_with(each.context_expr, "suppress") for each in items):
                    yield from _all_in(body)
            case ast.Call(keywords=keywords) if any(each.arg == "return_exceptions" for each in keywords):
                yield from ast.walk(node)


def _all_in(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)


def _ends_with(node: ast.expr, name: str) -> bool:
    """`suppress(…)` and `contextlib.suppress(…)`."""
    match node:
        case ast.Call(func=ast.Name(id=found)) | ast.Call(func=ast.Attribute(attr=found)):
            return found == name
    return False


def _may_catch(caught: ast.expr | None) -> bool:
    match caught:
        case ast.Tuple(elts=elements):
            return any(map(_may_catch, elements))
        case ast.Name(id=name):
            return name in ("Exception", "BaseException") or not hasattr(builtins, name)
    return True
