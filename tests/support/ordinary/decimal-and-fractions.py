from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, getcontext, localcontext, InvalidOperation
from fractions import Fraction
print(Decimal("0.1") + Decimal("0.2"), Decimal(1) / 7, Decimal("2.675").quantize(Decimal("0.01"), ROUND_HALF_UP), Decimal(2).sqrt(), Decimal("1e-30").normalize())
with localcontext() as context:
    context.prec = 50
    print(Decimal(2).sqrt(), Decimal(1).exp())
print(getcontext().prec, Decimal("10.5") % 3, Decimal(0.1), f"{Decimal('1234567.891'):,.2f}", Decimal("NaN").is_nan(), Decimal("-0"))
try:
    Decimal("abc")
except InvalidOperation as exc:
    print(exc)
print(Fraction(3, 4) + Fraction("0.2"), Fraction(0.125), Fraction(355, 113).limit_denominator(10), sum(Fraction(1, n) for n in range(1, 20)), Fraction(7, 3) // 1)
result = str(sum((Decimal(n) / 3 for n in range(10)), Decimal()).quantize(Decimal("0.0001"), ROUND_HALF_EVEN))
