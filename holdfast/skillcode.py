"""What can be told of a skill's code without running it: hints only, the project's Python may be another than ours."""

import ast
import warnings
from collections.abc import Iterator

from holdfast.names import listed


def syntax_fault(source: bytes, file: str) -> str | None:
    """`skill.py:3: does not parse: …`, or None."""
    try:
        _parsed(source)
    except SyntaxError as exc:
        return f"{file}:{exc.lineno or 1}: does not parse: {exc.msg}"
    except (ValueError, RecursionError, MemoryError) as exc:
        return f"{file}: does not parse: {exc}"
    return None


def _parsed(source: bytes) -> ast.Module:
    with warnings.catch_warnings():  # An odd escape in somebody's text is not ours to report.
        warnings.simplefilter("ignore")
        return ast.parse(source)


def missing_function(source: bytes, name: str) -> str | None:
    """Why the code has no such function, or None; code that imports or computes names is believed."""
    tree = _parsed(source)
    if any(not isinstance(node, _PLAIN) for node in tree.body) or name in _defined(tree):
        return None
    return f"found {name!r}, which the code does not define; it defines: {listed(_defined(tree))}"


_PLAIN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.Expr,
)


def _defined(tree: ast.Module) -> list[str]:
    return list(_names(tree))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name() as target):
                yield target.id
