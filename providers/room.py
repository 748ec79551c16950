"""How much room a request has for messages in the window of its model, and the request with messages that fit."""

import json
from dataclasses import replace

from holdfast.contracts.model import ModelSettings
from holdfast.errors import NoModel, TooLarge
from holdfast.windows import context_tokens, estimate, tokens
from providers.base import ModelRequest, Tool
from providers.endpoint import Endpoint
from providers.rows import OFFLINE

REPLY_TOKENS = 8192
"""Left for a reply of which no settings say how long it may be; of a small window a quarter."""
LEAST_TOKENS = 512
"""With less room than this for messages, no task can be done."""
_AROUND, _AROUND_TOOL = 120, 24


def fitted(request: ModelRequest, where: Endpoint) -> ModelRequest:
    """The request as it fits into the window of its model; `request.settings` are the resolved ones. A reply gets half
    of the window at most. What may not be cut is measured.

    Raises:
        NoModel: the system text and the tools leave no room.
        TooLarge: the request goes whole or not at all, and is too long. `tokens` it has, `fitting_tokens` it may have.
    """
    if where.row.wire == OFFLINE:
        return request
    window = context_tokens(request.settings)
    settings = _within(request.settings, window)
    reply = settings.max_tokens or min(REPLY_TOKENS, window // 4)
    fixed = _AROUND + estimate(request.system) + sum(map(tokens_of_tool, request.tools)) + _tokens_of_form(request)
    if request.fit is None:
        return _whole(replace(request, settings=settings), where, window, reply, fixed)
    room = window - reply - fixed
    if room < LEAST_TOKENS:
        raise NoModel(_too_small(request, where, window, reply, fixed))
    return request.fit(replace(request, settings=settings), room)


def tokens_of_tool(tool: Tool) -> int:
    """What a tool takes of the window."""
    return _AROUND_TOOL + estimate(tool.name) + estimate(tool.description) + estimate(json.dumps(tool.schema))


def _whole(request: ModelRequest, where: Endpoint, window: int, reply: int, fixed: int) -> ModelRequest:
    found, fitting = fixed + sum(tokens(one, request.read) for one in request.messages), window - reply
    if found > fitting:
        text = _too_long(request, where, f"a window of {window}, less {reply} for the reply", found, fitting)
        raise TooLarge(text, tokens=found, fitting_tokens=fitting)
    return request


def _within(settings: ModelSettings, window: int) -> ModelSettings:
    if settings.max_tokens is None or settings.max_tokens <= window // 2:
        return settings
    return settings.model_copy(update={"max_tokens": window // 2})


def _tokens_of_form(request: ModelRequest) -> int:
    return 0 if request.schema is None else 40 + estimate(json.dumps(request.schema))


def _too_small(request: ModelRequest, where: Endpoint, window: int, reply: int, fixed: int) -> str:
    return (
        f"{where.provider} model {request.settings.model!r} has a window of {window} tokens; the system prompt and "
        f"{len(request.tools)} tools take about {fixed} of them and the reply {reply}, so less than {LEAST_TOKENS} are "
        "left for the task. Grant the agent fewer skills or shorten its system prompt, or, if the window is larger, "
        "set llm_config.context_tokens"
    )


def _too_long(request: ModelRequest, where: Endpoint, why: str, found: int, fitting: int) -> str:
    return (
        f"the prompt for {where.provider} model {request.settings.model!r} has about {found} tokens; {fitting} fit "
        f"({why}), so it was not asked. Split the text, ask about each part, and put the answers together; or, if the "
        "window is larger, set context_tokens (in the agent's llm_config, or the provider's row in holdfast.yaml)"
    )
