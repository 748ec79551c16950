"""Counts words."""

import re


def run(*, text: str) -> dict[str, int]:
    words = len(re.findall(r"\w+", text))
    return {
        "words": words,
        "sentences": len(re.findall(r"[.!?]+(?:\s|$)", text)),
        "lines": len(text.splitlines()),
        "reading_seconds": round(words * 60 / 200),
    }
