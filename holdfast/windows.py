"""Windows: how many tokens a model reads and writes at most, and how many a text or a message has, near enough.

The numbers of known models are facts of autumn 2026; `llm_config.context_tokens` says another one.
"""

import json
import re
from collections.abc import Callable
from math import ceil

from holdfast.contracts.message import BlobPart, CallPart, Message, Part, ResultPart
from holdfast.contracts.model import ModelSettings

Read = Callable[[str], bytes]
"""The bytes of a blob, by its name."""

UNKNOWN_TOKENS = 128_000
LOCAL_TOKENS = 8192
"""Of a model on one's own machine: what its server was started with cannot be asked, and often it is no more."""
IMAGE_TOKENS = 2000
AROUND_MESSAGE, _AROUND_CALL = 12, 24
"""What a wire format puts around a message, and a call or its result."""
_LOCAL = ("ollama", "lmstudio", "lm-studio", "lm_studio", "vllm")

_KNOWN: tuple[tuple[str, int], ...] = (
    (r"claude-(opus-4-[6-9]|sonnet-4-6|(opus|sonnet|haiku|fable|mythos)-[5-9])", 1_000_000),
    (r"claude", 200_000),
    (r"gpt-4\.1|gpt-5\.[4-9](?!-(mini|nano))|gpt-[6-9]", 1_000_000),
    (r"gpt-5", 400_000),
    (r"gpt-3\.5", 16_385),
    (r"gpt-4-32k", 32_000),
    (r"gpt-4(-0314|-0613)?$", 8192),
    (r"(^|/)(o1|o3|o4)($|-(?!mini|preview))|(o3|o4)-mini|codex-mini", 200_000),
    (r"gemini-(1\.0|pro$)", 32_768),
    (r"gemini", 1_000_000),
    (r"glm-4-long|glm-5\.[2-9]", 1_000_000),
    (r"glm-4\.[67]|glm-5", 200_000),
    (r"glm-4-airx", 8000),
    (r"nova-(lite|pro)|nova-premier|nova-2", 300_000),
    (r"llama3-(8b|70b)|llama-3-(8b|70b)|titan|c4ai-aya-expanse-8b", 8192),
    (r"llama-?2|command-light", 4096),
    (r"mistral-7b|mixtral|mistral-(large|small)-2402|qwen3-32b", 32_000),
    (r"deepseek-(chat|reasoner)", 64_000),
)

_PIECES = re.compile(r"[a-z]{1,5}|[A-Z]{1,2}|[0-9]|[^\S ]+| {2,}|[!-/:-@\[-`{-~]{1,2}|[\x80-\u07ff]", re.ASCII)
_WIDE, _WIDEST = re.compile(r"[\u0800-\uffff]"), re.compile(r"[\U00010000-\U0010ffff]")

_SHORT, _MOST_MEASURED = 200, 100_000
_measured: dict[tuple[int, int], int] = {}


def context_tokens(settings: ModelSettings) -> int:
    """The window of a model: what its settings say, else what is known of it; both of what it reads and writes."""
    if settings.context_tokens is not None:
        return settings.context_tokens
    if (settings.provider or "").strip().lower() in _LOCAL:
        return LOCAL_TOKENS
    name = (settings.model or "").lower()
    return next((tokens for pattern, tokens in _KNOWN if re.search(pattern, name)), UNKNOWN_TOKENS)


def tokens(message: Message, read: Read | None = None) -> int:
    """An estimate for a message. Files are read, or else have a token for three bytes."""
    return AROUND_MESSAGE + sum(_of_part(part, read) for part in message.parts)


def wired(part: CallPart) -> str:
    """The arguments of a call as they travel: JSON within JSON."""
    return json.dumps(json.dumps(part.arguments, ensure_ascii=False), ensure_ascii=False)


def estimate(text: str) -> int:
    """How many tokens a text has, rather too many than too few; never more than its bytes in UTF-8.

    A token is up to five small letters of a word, two large ones or two signs; a digit; a run of white space, if it is
    no single space; a letter of two bytes. Letters of three bytes have one and a half, others three. Four letters have
    one at least. By the tokenizers of GPT-4, GPT-5 and Llama 3 that is never too few (docs/memory.md has the figures);
    Llama 2's counts up to a tenth more in most texts.
    """
    if len(text) < _SHORT:
        return _counted(text)
    # A conversation is measured at each turn, and its texts stay: known by hash, so that none is held here.
    key = len(text), hash(text)
    if key not in _measured:
        if len(_measured) >= _MOST_MEASURED:
            _measured.clear()
        _measured[key] = _counted(text)
    return _measured[key]


def _of_part(part: Part, read: Read | None) -> int:
    match part:
        case BlobPart():
            return _of_blob(part, read)
        case CallPart():
            return _AROUND_CALL + estimate(part.id) + estimate(part.skill) + estimate(wired(part))
        case ResultPart():
            return _AROUND_CALL + estimate(part.id) + estimate(part.skill) + estimate(part.text)
        case _:
            return estimate(part.text)


def _of_blob(part: BlobPart, read: Read | None) -> int:
    if part.media_type.startswith("image/"):
        return IMAGE_TOKENS
    around = estimate(part.name or "") + _AROUND_CALL
    return around + (estimate(read(part.ref).decode(errors="replace")) if read else part.size_bytes // 3)


def _counted(text: str) -> int:
    found = len(_PIECES.findall(text))
    if not text.isascii():
        found += ceil(1.5 * len(_WIDE.findall(text))) + 3 * len(_WIDEST.findall(text))
    return max(found, len(text) // 4)
