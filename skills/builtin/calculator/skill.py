"""Arithmetic on numbers that stand in a text. The text is parsed and walked: nothing of it is ever run."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from holdfast.errors import SkillInputError, shown

MAX_DIGITS = 1000
MAX_DEPTH = 100
_MAX_BITS = math.ceil(MAX_DIGITS * math.log2(10))
_ALLOWED = "allowed: numbers, + - * / // % **, signs and parentheses"

Number = int | float
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def run(*, expression: str) -> dict[str, Any]:
    """
    Raises:
        SkillInputError: it is no arithmetic, has no value, or a value that is too large.
    """
    return {"expression": expression, "result": _value(_parsed(expression), 0)}


def _parsed(expression: str) -> ast.expr:
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise SkillInputError(f"{shown(expression)} is no arithmetic expression: {exc}; {_ALLOWED}") from None


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise SkillInputError(f"the expression is nested deeper than {MAX_DEPTH}; calculate a part of it first")
    match node:
        case ast.Constant(value=bool() | complex()):
            pass
        case ast.Constant(value=int() | float() as number):
            return _bounded(number, node)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY or isinstance(op, ast.Pow):
            return _combined(node, op, _value(left, depth + 1), _value(right, depth + 1))
    raise SkillInputError(f"{shown(ast.unparse(node))} cannot be calculated; {_ALLOWED}")


def _combined(node: ast.expr, op: ast.operator, left: Number, right: Number) -> Number:
    try:
        found = _power(left, right) if isinstance(op, ast.Pow) else _BINARY[type(op)](left, right)
    except ZeroDivisionError:
        raise SkillInputError(f"{shown(ast.unparse(node))} divides by zero") from None
    except OverflowError:
        raise _too_large(node) from None
    if isinstance(found, complex):
        raise SkillInputError(f"{shown(ast.unparse(node))} is no real number")
    return _bounded(found, node)


def _power(base: Number, exponent: Number) -> Any:
    """Looked at before it is calculated: 9 ** 9 ** 9 would take all memory and never end."""
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        bits = math.log2(abs(base)) * abs(exponent)
        if bits > _MAX_BITS:
            raise OverflowError
    return base**exponent


def _bounded(value: Number, node: ast.expr) -> Number:
    is_huge = value.bit_length() > _MAX_BITS if isinstance(value, int) else not math.isfinite(value)
    if is_huge:
        raise _too_large(node)
    return value


def _too_large(node: ast.expr) -> SkillInputError:
    text = ast.unparse(node) if isinstance(node, ast.BinOp) else "a number"
    return SkillInputError(
        f"{shown(text)} is too large: whole numbers have at most {MAX_DIGITS} digits, others at most 1.8e308"
    )
