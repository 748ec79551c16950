"""How a program can fail by its own doing, as results that people and models can act on."""

import signal
from typing import Any

from holdfast.contracts.base import Failure
from holdfast.contracts.program import Limits, ProgramEnd
from sandbox.base import Box, BoxLost

INVALID = frozenset(
    {
        "SyntaxError",
        "IndentationError",
        "TabError",
        "ResultNotJson",
        "ResultTooLarge",
        "SessionNotJson",
        "SessionTooLarge",
    }
)
"""Errors of kind `validation` (M-23): the program is wrong before it does anything, or in what it leaves."""

_KIND_KEPT, _MESSAGE_KEPT = 200, 100_000

_SETTINGS = {
    "memory": "limits.memory_bytes",
    "disk": "limits.disk_bytes",
    "inodes": "the number of files in /ws",
    "output": "limits.output_bytes",
}


def raised(kind: str, message: str, group: str = "execution", line: int | None = None) -> ProgramEnd:
    """`group` is M's error type: timeout, execution, validation or unknown."""
    details: dict[str, Any] = {"kind": group} if line is None else {"kind": group, "line": line}
    return ProgramEnd(outcome="raised", error=Failure(type=kind, message=message, details=details))


def told(frame: dict[str, Any]) -> ProgramEnd:
    """What the guest itself reports; not more of it than our guest would: a program can forge it."""
    kind, line = str(frame.get("type"))[:_KIND_KEPT], frame.get("line")
    group = "validation" if kind in INVALID else "execution"
    is_line = type(line) is int and 0 < line < 1 << 31
    return raised(kind, str(frame.get("message"))[-_MESSAGE_KEPT:], group, line if is_line else None)


def too_many_calls(limits: Limits) -> ProgramEnd:
    text = f"the program made more than {limits.max_calls} calls (limits.max_calls): ask for less, or raise it"
    return raised("CallLimit", text)


def too_many_timers(most: int) -> ProgramEnd:
    text = f"more than {most} timers of the program fired, or answers arrived, with no call between: wait less often"
    return raised("TimerLimit", text)


def too_much_output(limits: Limits) -> ProgramEnd:
    text = f"the program printed more than {limits.output_bytes} bytes (limits.output_bytes): print less, or raise it"
    return raised("OutputLimit", text)


def printed_too_much_for_a_result(limits: Limits, printed_bytes: int) -> ProgramEnd:
    text = (
        f"the program left no `result`, and printed {printed_bytes} bytes; as a result the limit is "
        f"{limits.result_bytes} (limits.result_bytes). Write large output with a skill, and leave a summary in `result`"
    )
    return raised("ResultTooLarge", text, "validation")


def overtime(limits: Limits, calls: int) -> ProgramEnd:
    text = (
        f"the program ran {limits.run_seconds:g} s of its own time, after {calls} calls; that is its limit "
        "(limits.run_seconds; waiting for skills does not count): do less, or raise it"
    )
    return raised("ProgramTimeout", text, "timeout")


def ended_without_a_word(box: Box, limits: Limits) -> ProgramEnd:
    """What a box that ended without a last frame says about its program.

    Raises:
        BoxLost: it was not the program's doing.
    """
    if box.cause is not None:
        text = f"the program was stopped: too much {box.cause} ({_SETTINGS[box.cause]}): use less, or raise it"
        return raised(f"{box.cause.capitalize()}Limit", text)
    code = box.exit_code
    if code == 128 + signal.SIGXCPU:
        text = f"the program used {limits.run_seconds:g} s of processor time (limits.run_seconds): do less, or raise it"
        return raised("ProgramTimeout", text, "timeout")
    if code is not None and code < 128:
        text = f"the program ended itself with exit code {code}; leave its result in `result` instead"
        return raised("ProgramExited", text)
    raise BoxLost(f"the box died (exit code {code})")
