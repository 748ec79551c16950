"""The search itself, in a process of its own. Only the standard library."""

import re
import signal
import time
from types import FrameType
from typing import Any

_MAX_LINE = 500


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Searches file after file; `re` looks for signals while it matches, so an alarm ends a runaway expression."""
    try:
        wanted = re.compile(
            job["pattern"] if job["regex"] else re.escape(job["pattern"]), re.IGNORECASE if job["ignore_case"] else 0
        )
    except (re.error, RecursionError, OverflowError) as exc:
        found = f"pattern {job['pattern'][:200]!r} is no regular expression: {exc}"
        return {"refused": f"{found}. With regex=false it is looked for as it is"}
    signal.signal(signal.SIGALRM, _too_long)
    return _Search(wanted, job).over(job["files"])


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


class _Search:
    def __init__(self, wanted: re.Pattern[str], job: dict[str, Any]) -> None:
        self._wanted = wanted
        self._around = job["context_lines"]
        self._limit = job["limit"]
        self._file_seconds = job["seconds_per_file"]
        self._end = time.monotonic() + job["seconds"]
        self._matches: list[dict[str, Any]] = []
        self._skipped: list[dict[str, str]] = []
        self._searched = 0

    def over(self, files: list[list[str]]) -> dict[str, Any]:
        for path, text in files:
            if len(self._matches) > self._limit:
                break
            self._one(path, text)
        return {
            "matches": self._matches[: self._limit],
            "files_searched": self._searched,
            "files_with_matches": len({match["path"] for match in self._matches[: self._limit]}),
            "truncated": len(self._matches) > self._limit,
            "skipped": self._skipped,
        }

    def _one(self, path: str, text: str) -> None:
        before = len(self._matches)
        seconds = min(self._file_seconds, self._end - time.monotonic())
        if seconds <= 0:
            self._skipped.append({"path": path, "why": "the time for the whole search was over"})
            return
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            self._lines(path, text.split("\n"))
            self._searched += 1
        except TimeoutError:
            del self._matches[before:]
            self._skipped.append(
                {"path": path, "why": f"the expression took longer than {self._file_seconds:g} s here; make it simpler"}
            )
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _lines(self, path: str, lines: list[str]) -> None:
        lines = [line.removesuffix("\r") for line in lines]
        for index, line in enumerate(lines):
            found = self._wanted.search(line)
            if found is None:
                continue
            self._matches.append(self._match(path, lines, index, found.start() + 1))
            if len(self._matches) > self._limit:
                return

    def _match(self, path: str, lines: list[str], index: int, column: int) -> dict[str, Any]:
        match: dict[str, Any] = {"path": path, "line": index + 1, "column": column, "text": lines[index][:_MAX_LINE]}
        if self._around:
            match["before"] = [line[:_MAX_LINE] for line in lines[max(0, index - self._around) : index]]
            match["after"] = [line[:_MAX_LINE] for line in lines[index + 1 : index + 1 + self._around]]
        return match
