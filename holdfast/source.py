"""The text of a program before it runs: brought into a form that compiles, and checked against the skills there are.

Pure and quick, so that the API, the CLI and the repair step say the same about the same text.
"""

import ast
import builtins
import re
import threading
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from holdfast.contracts.program import MAX_SOURCE_BYTES
from holdfast.errors import shown
from holdfast.names import canonical_name, identifier, listed, suggestion

_FENCES = (
    re.compile(r"\A\s*(?P<ticks>`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)\n?[ \t]*(?P=ticks)\s*\Z", re.DOTALL),
    re.compile(r"\A\s*<code[^>\n]*>[ \t]*\n?(?P<body>.*?)</code>\s*\Z", re.DOTALL | re.IGNORECASE),
)
_ALWAYS = frozenset({"skillerror", "ask", "sleep"})
_SHOWN_PROBLEMS = 20
_HINTS = {
    "'return' outside function": "a program has no return of its own: leave its answer in the variable `result`",
    "'await' outside async function": "make the function around it `async def`, or await at the top level",
    "unterminated": "close it; if the text was cut off, send the whole program",
    "was never closed": "close it; if the text was cut off, send the whole program",
    "indent": "indent each block by the same number of spaces",
}
_filters = threading.Lock()


@dataclass(frozen=True)
class Source:
    """A program's text, and the number that its first line has in the text that was sent."""

    source: str
    first_line: int = 1


@dataclass(frozen=True)
class Problem:
    """What keeps a program from running. Line and column count from 1, in the text that was sent."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


def normalise(text: str) -> Source:
    """The program in a text: without a BOM and a surrounding markdown fence or `<code>`, its indentation mended.

    A text that compiles is kept byte for byte. No string in it is ever changed: text that is indented as a whole
    gets the line `if True:` before it, which then has the number `first_line`. What cannot be mended comes
    back as it is, for `check` to say why.
    """
    source = Source(text.removeprefix("\ufeff"))
    if _fault(source.source) is None:
        return source
    source = _unfenced(source)
    return next((each for each in _forms(source) if _fault(each.source) is None), source)


def check(source: Source, skills: Collection[str] | None) -> list[Problem]:
    """What is wrong with a program, in the order of its lines; empty if it can be run. None: skills are not looked up.

    Only skills that are named outright are looked up, and none if the program gives `skills` or `executor` a
    meaning of its own. A name matches with `-` and `_` alike.
    """
    fault = _unreadable(source.source) or _fault(source.source)
    if fault is not None:
        return [_moved(fault, source.first_line)]
    tree = _compiled(source.source)
    if not tree.body:
        return [Problem(1, 1, "the program is empty; it needs at least one statement")]
    if skills is None:
        return []
    # Not splitlines: for Python a form feed, or U+2028 in a text, ends no line.
    lines = re.split(r"\r\n?|\n", source.source)
    known = {canonical_name(name) for name in skills} | _ALWAYS
    found = [
        Problem(node.lineno, _column(lines, node), _unknown(name, skills))
        for node, name in _named_skills(tree)
        if canonical_name(name) not in known
    ]
    found.sort(key=lambda problem: (problem.line, problem.column))
    return [_moved(problem, source.first_line) for problem in found[:_SHOWN_PROBLEMS]]


def describe(problems: list[Problem]) -> str:
    """The problems as text for a model or a terminal, one a line."""
    return "\n".join(map(str, problems))


def _unfenced(source: Source) -> Source:
    for fence in _FENCES:
        if match := fence.match(source.source):
            before = source.source[: match.start("body")].count("\n")
            inner = Source(match["body"], source.first_line + before)
            return inner if _fault(inner.source) is None else _unfenced(inner)
    return source


def _forms(source: Source) -> Iterator[Source]:
    """The text itself, then under an `if True:`, as it is and with the indent that strip() took from its first line."""
    yield source
    wrapped = source.first_line - 1
    yield Source(f"if True:\n{source.source}", wrapped)
    body = source.source.lstrip("\r\n")
    skipped = source.source[: len(source.source) - len(body)].count("\n")
    for indent in _indents(body)[:8]:
        yield Source(f"if True:\n{indent}{body.lstrip()}", wrapped + skipped)


def _indents(text: str) -> list[str]:
    found = re.findall(r"^([ \t]+)\S", text.partition("\n")[2], re.MULTILINE)
    return sorted(set(found), key=len)


def _unreadable(text: str) -> Problem | None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        line = text.count("\n", 0, exc.start) + 1
        return Problem(line, 1, f"found half a surrogate pair, {text[exc.start]!r}; a program is UTF-8 text: remove it")
    if size > MAX_SOURCE_BYTES:
        return Problem(
            1, 1, f"the program has {size} bytes; {MAX_SOURCE_BYTES} are allowed: pass data as `input` instead"
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return Problem(line, 1, "found a null byte; a program is UTF-8 text without any: remove it")
    return None


def _fault(text: str) -> Problem | None:
    """Why a text does not compile, or None."""
    if unreadable := _unreadable(text):
        return unreadable
    try:
        _compiled(text)
    except SyntaxError as exc:
        return _explained(exc)
    except (RecursionError, MemoryError):
        return Problem(1, 1, "the program is nested too deeply to compile; break its expressions up")
    except ValueError as exc:
        return Problem(1, 1, f"the program does not compile: {exc}")
    return None


def _compiled(text: str) -> ast.Module:
    """The tree of a program that also compiles: parsing alone lets a top-level `return` pass."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        compile(text, "<program>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return tree


def _explained(exc: SyntaxError) -> Problem:
    found = f" in {shown(exc.text.strip())}" if exc.text and exc.text.strip() else ""
    hint = next((text for sign, text in _HINTS.items() if sign in exc.msg), "correct this line")
    return Problem(exc.lineno or 1, max(exc.offset or 1, 1), f"{exc.msg}{found}; {hint}")


def parsed(source: Source) -> ast.Module:
    """The tree of a program in which `check` found nothing."""
    return _compiled(source.source)


def _moved(problem: Problem, first_line: int) -> Problem:
    return Problem(max(problem.line + first_line - 1, 1), problem.column, problem.message)


def _column(lines: list[str], node: ast.expr | ast.stmt) -> int:
    """`col_offset` counts bytes from 0; people count characters from 1."""
    return len(lines[node.lineno - 1].encode()[: node.col_offset].decode(errors="replace")) + 1


def _unknown(name: str, skills: Collection[str]) -> str:
    guess = suggestion(canonical_name(name), skills)
    return f"no skill named {name!r}{';' + guess if guess else '.'} Known: {listed(sorted(skills))}"


def _named_skills(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Each place where a program names a skill outright, with the name."""
    own = _own_names(tree)
    modules = ({"skills"} | _aliases(tree)) - own
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name, ctx=ast.Load()) if module in modules:
                if not name.startswith("_"):
                    yield node, name
            case ast.ImportFrom(module="skills", level=0, names=names):
                yield from ((node, each.name) for each in names if each.name != "*")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="executor"), attr=method)) if "executor" not in own:
                yield from _executed(node, method)


def skill_calls(tree: ast.Module, skills: Collection[str]) -> Iterator[tuple[ast.Call, str]]:
    """Each call of a skill under a name that is surely its own, with the canonical name of the skill."""
    own = _own_names(tree)
    modules = ({"skills"} | _aliases(tree)) - own
    bare = {identifier(name): name for name in skills if not hasattr(builtins, identifier(name))} | _imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if module in modules:
                yield node, canonical_name(name)
            case ast.Call(func=ast.Name(id=name)) if name in bare and name not in own:
                yield node, canonical_name(bare[name])


def _imported(tree: ast.Module) -> dict[str, str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    names = (each for node in imports if node.module == "skills" and node.level == 0 for each in node.names)
    return {_bound(each): each.name for each in names}


def _executed(call: ast.Call, method: str) -> Iterator[tuple[ast.expr, str]]:
    first = call.args[0] if call.args else None
    if method == "execute_batch" and isinstance(first, ast.List):
        dicts = [each for each in first.elts if isinstance(each, ast.Dict)]
        pairs = [pair for each in dicts for pair in zip(each.keys, each.values, strict=True)]
        asked = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "skill_name"]
    elif method == "execute":
        asked = [each.value for each in call.keywords if each.arg == "skill_name"] + ([first] if first else [])
    else:
        asked = []
    for value in asked:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value, value.value


def _aliases(tree: ast.Module) -> set[str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
    return {each.asname for node in imports for each in node.names if each.name == "skills" and each.asname}


def _own_names(tree: ast.Module) -> set[str]:
    """Names to which the program itself gives a meaning, in whatever scope."""
    own: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                own.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                own.add(name)
            case ast.MatchMapping(rest=str(name)):
                own.add(name)
            case ast.Import(names=names):
                own |= {_bound(each) for each in names if each.name != "skills"}
            case ast.ImportFrom(names=names, module=module) if module != "skills":
                own |= {_bound(each) for each in names}
    return own


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]
