"""What people see: results on stdout, progress and errors on stderr, colour only where it is wanted."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

from holdfast.errors import HoldfastError, OperatorError, UserError

progress = Console(stderr=True, highlight=False, soft_wrap=True)
"""Everything that is not the result. rich drops colour when stderr is no terminal or NO_COLOR is set."""

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130


class RunFailed(HoldfastError):
    """A task, check or proof ended badly; what there is to say has been said. Exit code 1."""

    code = "RUN_FAILED"


def exit_code(error: HoldfastError) -> int:
    if isinstance(error, UserError):
        return USAGE
    return UNREACHABLE if isinstance(error, OperatorError) else FAILED


def say(text: str = "", style: str = "") -> None:
    """One line on stderr. The text is shown as it is: brackets in it are no markup."""
    progress.print(escape(text), style=style or None)


def fail(error: HoldfastError) -> None:
    if str(error):
        progress.print(f"[bold red]error[/]  {escape(str(error))}")


def result(value: Any) -> None:
    """A result on stdout: a string plain, anything else as indented JSON."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def rows(lines: list[tuple[str, ...]]) -> None:
    """Aligned columns on stdout, two blanks apart, so that cut and awk work on them."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))] if lines else []
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    sys.stdout.flush()


def first_line(text: str) -> str:
    """The first line of a description, cut at 90 characters, for a list."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 90 else f"{line[:89]}…"


def ok(name: str, text: str, note: str = "") -> None:
    """A line of the block that `up` and `doctor` print: a part, and what is known of it."""
    _mark("[green]ok[/]", name, text, note)


def warn(name: str, text: str, fix: str = "") -> None:
    _mark("[bold yellow]! [/]", name, text)
    _fix(fix)


def bad(name: str, text: str, fix: str = "") -> None:
    _mark("[bold red]x [/]", name, text)
    _fix(fix)


def _mark(mark: str, name: str, text: str, note: str = "") -> None:
    shown = f"{text}  [dim]{escape(f'({note})')}[/]" if note else text
    progress.print(f"  {mark}  {name:<20} {shown if note else escape(shown)}")


def _fix(fix: str) -> None:
    if fix:
        progress.print(f"      {'':<20} [cyan]fix:[/] {escape(fix)}")


def seconds(value: float) -> str:
    """A length of time as people read it: 0.2s, 42s, 3m 05s, 2h 10m."""
    if value < 10:
        return f"{value:.1f}s"
    if value < 60:
        return f"{value:.0f}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"
