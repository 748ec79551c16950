"""Logs: one JSON object a line (compact, so that `grep '"trace_id":"…"'` works), or text for people."""

import json
import logging
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

from holdfast.errors import shown

bind = structlog.contextvars.bind_contextvars
clear = structlog.contextvars.clear_contextvars
get_logger = structlog.stdlib.get_logger

_TOP = ("timestamp", "level", "service", "trace_id", "message")


def configure(service: str, level: str = "INFO", form: Literal["json", "text"] = "json") -> None:
    """Route structlog and every third-party logger of this process to stderr in one form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _named(service),
    ]
    last: Processor = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if form == "json":
        shared.append(_arranged)
        last = structlog.processors.JSONRenderer(serializer=_compact)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _named(service: str) -> Processor:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        event.setdefault("trace_id", "")
        return event

    return add


def _arranged(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The form that R-29's users grep: five fields on top, everything else under `metadata`."""
    event["message"] = event.pop("event", "")
    hidden = {key: event.pop(key) for key in ("_record", "_from_structlog") if key in event}
    extra = {key: event.pop(key) for key in list(event) if key not in _TOP and not key.startswith("_")}
    for machinery in ("exc_info", "temporal_log"):
        extra.pop(machinery, None)
    return {**{key: event.pop(key) for key in _TOP if key in event}, "metadata": extra, **hidden}


def _compact(value: dict[str, Any], **_options: Any) -> str:
    try:
        return _dumped(value)
    except (TypeError, ValueError, RecursionError):  # NaN, a cycle, a key that is no text
        return _dumped(_plain(value))


def _dumped(value: dict[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"), default=str, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: dict[Any, Any]) -> dict[str, Any]:
    return {
        str(key): _plain(item) if key == "metadata" else item if isinstance(item, str) else shown(item)
        for key, item in value.items()
    }
