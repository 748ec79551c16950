"""What a request cost. Prices are those of the installed genai-prices, offline, and a row's own over them."""

from dataclasses import dataclass
from decimal import Decimal

from providers.faults import Asked
from providers.rows import Price

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Tokens:
    """As billed. `input` includes those `cached` (read from a cache) and `written` (put there)."""

    input: int
    output: int
    cached: int = 0
    written: int = 0


def cost(asked: Asked, tokens: Tokens | None) -> Decimal | None:
    """USD; None where no price is known, 0 only where the row says `free`."""
    row = asked.endpoint.row
    own = row.prices.get(asked.model)
    if own is not None:
        return _own_cost(own, tokens) if tokens else None
    if row.price == "free":
        return Decimal(0)
    return _listed_cost(row.price, asked.model, tokens) if row.price and tokens else None


def _own_cost(price: Price, tokens: Tokens) -> Decimal:
    cached = price.input if price.cached is None else price.cached
    fresh = (tokens.input - tokens.cached) * price.input
    return (fresh + tokens.cached * cached + tokens.output * price.output) / _MILLION


def _listed_cost(provider: str, model: str, tokens: Tokens) -> Decimal | None:
    from genai_prices import Usage as Billed
    from genai_prices import calc_price

    billed = Billed(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.written,
        output_tokens=tokens.output,
    )
    try:
        return calc_price(billed, model, provider_id=provider).total_price
    except LookupError:
        return None
