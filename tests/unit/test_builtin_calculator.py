"""`calculator`: arithmetic, and nothing but arithmetic, whatever it is given."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from holdfast.contracts.base import Value
from holdfast.errors import SkillInputError
from tests.support.builtin import function, parsed

calculate = function("calculator")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2", 3),
        ("2 * (3 + 4) ** 2", 98),
        ("7 / 2", 3.5),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("2 ** -1", 0.5),
        ("--3 + +4", 7),
        ("-2 ** 2", -4),
        ("0.1 + 0.2", 0.30000000000000004),
        ("2 ** 3 ** 2", 512),
        ("10 ** 999", 10**999),
        (" 1_000 * 3 ", 3000),
        ("0 ** 0", 1),
        ("1e308", 1e308),
        ("(-1) ** 1000000000000", 1),
    ],
)
def test_arithmetic_is_that_of_python(expression: str, value: float) -> None:
    answer = calculate(expression=expression)
    assert answer == {"expression": expression, "result": value}
    Draft202012Validator(parsed("calculator").spec.output_schema).validate(answer)
    assert Value.model_validate_json(Value(inline=answer).model_dump_json()).inline == answer


@pytest.mark.parametrize(
    "expression",
    [
        "x + 1",
        "abs(-1)",
        "__import__('os').system('true')",
        "(1).real",
        "[1][0]",
        "'a' * 3",
        "True + 1",
        "1j * 1j",
        "1 if 1 else 2",
        "1 < 2",
        "1 << 2",
        "~1",
        "lambda: 1",
        "1; 2",
        "",
        "1 +",
        "a := 1",
        "f'{1}'",
        "1\0",
    ],
)
def test_what_is_no_arithmetic_is_refused_with_what_is_allowed(expression: str) -> None:
    with pytest.raises(SkillInputError, match=r"allowed: numbers, \+ - \* / // % \*\*"):
        calculate(expression=expression)


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9",
        "9 ** 9 ** 9 ** 9",
        "2 ** 100000000",
        "(-3) ** 99999999999",
        "10 ** 999 * 10 ** 999",
        "1e308 * 10",
        "1e999",
        "2.0 ** 99999",
        "2 ** -99999999",
        "10 ** 500 / 0.1",
    ],
)
def test_what_is_too_large_is_refused_before_it_is_calculated(expression: str) -> None:
    began = time.monotonic()
    with pytest.raises(SkillInputError, match="too large"):
        calculate(expression=expression)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("1 / 0", "divides by zero"),
        ("1 % 0", "divides by zero"),
        ("0 ** -1", "divides by zero"),
        ("(-8) ** 0.5", "no real"),
    ],
)
def test_what_has_no_value_says_why(expression: str, told: str) -> None:
    with pytest.raises(SkillInputError, match=told):
        calculate(expression=expression)


def test_a_deep_expression_is_refused_and_breaks_nothing() -> None:
    for expression in ("-" * 900 + "1", "(" * 400 + "1" + ")" * 400, "1" + "+1" * 490):
        try:
            assert calculate(expression=expression)["result"] in (1, -1, 491)
        except SkillInputError as exc:
            assert "nested" in str(exc) or "no arithmetic" in str(exc)


@given(st.text(alphabet="0123456789.+-*/%() e", min_size=1, max_size=40))
def test_any_text_is_a_number_or_a_refusal_at_once(expression: str) -> None:
    began = time.monotonic()
    try:
        assert isinstance(calculate(expression=expression)["result"], int | float)
    except SkillInputError as exc:
        assert str(exc)
    assert time.monotonic() - began < 2
