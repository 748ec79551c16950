import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from holdfast import log

TRACE = "abc123" * 5 + "00"


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    log.clear()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """All that was logged, parsed: a line that is no JSON fails the test."""

    def parsed() -> list[dict[str, Any]]:
        out, err = capsys.readouterr()
        assert out == "", "logs go to stderr: stdout is for results"
        return [json.loads(line) for line in err.splitlines()]

    return parsed


def test_event_has_the_promised_fields_in_order(lines: Any):
    log.configure("api", "DEBUG")
    log.bind(trace_id=TRACE)
    structlog.stdlib.get_logger("holdfast.x").info("program.waiting", calls=3)
    (line,) = lines()
    assert list(line) == ["timestamp", "level", "service", "trace_id", "message", "metadata"]
    assert (line["level"], line["service"], line["trace_id"]) == ("info", "api", TRACE)
    assert (line["message"], line["metadata"]) == ("program.waiting", {"calls": 3})
    assert line["timestamp"].endswith("Z")


def test_trace_id_can_be_searched_for_without_a_space(capsys: pytest.CaptureFixture[str]):
    log.configure("api")
    log.bind(trace_id=TRACE)
    logging.getLogger("somebody.else").warning("hello")
    assert f'"trace_id":"{TRACE}"' in capsys.readouterr().err


def test_third_party_loggers_speak_json_with_the_same_trace(lines: Any):
    log.configure("api", "DEBUG")
    log.bind(trace_id=TRACE)
    logging.getLogger("uvicorn.access").info('%s "%s" %d', "127.0.0.1", "GET /", 200, extra={"client": {"port": 1}})
    (line,) = lines()
    assert line["message"] == '127.0.0.1 "GET /" 200'
    assert (line["trace_id"], line["service"], line["metadata"]["client"]) == (TRACE, "api", {"port": 1})


@pytest.mark.parametrize(
    "value",
    [
        "a\nb\r\n\u2028c",
        "\ud800 lone",
        b"bytes",
        {1, 2},
        object(),
        {("a", "b"): 1},
        {1: 2, None: 3},
        float("nan"),
        ValueError("x"),
        "ü",
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_makes_one_line_of_strict_json(capsys: pytest.CaptureFixture[str], value: object):
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    log.configure("api")
    structlog.stdlib.get_logger("a").info("event", value=value)
    logging.getLogger("b").warning("event %r", value, extra={"value": value})
    text = capsys.readouterr().err
    assert text.count("\n") == 2
    for line in text.split("\n")[:-1]:
        assert json.loads(line, parse_constant=refuse)["message"].startswith("event")


def test_errors_carry_their_traceback_on_the_same_line(lines: Any):
    log.configure("api", "DEBUG")
    for logger in (structlog.stdlib.get_logger("a"), logging.getLogger("b")):
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logger.exception("task.failed")
    ours, theirs = lines()
    for line in (ours, theirs):
        assert line["message"] == "task.failed" and line["level"] == "error"
        assert "ZeroDivisionError: division by zero" in line["metadata"]["exception"]


def test_circular_value_is_a_line_too(lines: Any):
    log.configure("api", "DEBUG")
    value: list[Any] = []
    value.append(value)
    structlog.stdlib.get_logger("a").info("event", value=value)
    assert lines()[0]["message"] == "event"


def test_python_warnings_are_lines_too(lines: Any):
    log.configure("api", "DEBUG")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    (line,) = lines()
    assert "old thing" in line["message"] and line["level"] == "warning"


def test_level_holds_for_all_loggers(capsys: pytest.CaptureFixture[str]):
    log.configure("api", "ERROR")
    for logger in (structlog.stdlib.get_logger("a"), logging.getLogger("b")):
        logger.warning("quiet")
        logger.error("loud")
    err = capsys.readouterr().err
    assert err.count("loud") == 2 and "quiet" not in err


def test_text_form_is_for_people(capsys: pytest.CaptureFixture[str]):
    log.configure("worker", form="text")
    log.bind(trace_id=TRACE)
    structlog.stdlib.get_logger("a").info("program.waiting", calls=3)
    logging.getLogger("b").warning("hello %s", "there")
    ours, theirs = capsys.readouterr().err.splitlines()
    assert "program.waiting" in ours and "calls=3" in ours and TRACE in ours
    assert "hello there" in theirs and not theirs.startswith("{")


def test_logger_that_was_made_before_configure_obeys_it(capsys: pytest.CaptureFixture[str]):
    early = log.get_logger("early")
    log.configure("api")
    early.info("event")
    assert json.loads(capsys.readouterr().err)["message"] == "event"


def test_configure_twice_logs_once(lines: Any):
    log.configure("api", "DEBUG")
    log.configure("worker", "DEBUG")
    logging.getLogger("a").info("event")
    (line,) = lines()
    assert line["service"] == "worker"
