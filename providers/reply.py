"""A reply, made of what a wire format gave: refused when it is none, with its usage and cost."""

from collections.abc import Iterable
from typing import Literal

from holdfast.contracts.model import Usage
from providers.base import Called, ModelReply
from providers.faults import Asked
from providers.prices import Tokens, cost

Stop = Literal["end", "length", "refusal"]


def reply(
    asked: Asked,
    text: str,
    stop: Stop,
    tokens: Tokens | None,
    max_tokens: int | None,
    calls: Iterable[Called] = (),
) -> ModelReply:
    """The reply. `tokens` None: it did not say what it took, so the cost is not known either.

    Raises:
        ModelFailed: there is neither text nor a call, and it is no refusal.
    """
    calls = tuple(calls)
    if not text.strip() and not calls and stop != "refusal":
        raise asked.empty(max_tokens, at_limit=stop == "length")
    known = tokens or Tokens(0, 0)
    usage = Usage(
        provider=asked.endpoint.provider,
        model=asked.model,
        input_tokens=known.input,
        output_tokens=known.output,
        cached_tokens=known.cached,
        cost=cost(asked, tokens),
    )
    return ModelReply(text, usage, stop, calls)
