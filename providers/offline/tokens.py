"""A task's text in tokens: words, paths, quoted texts, numbers and the like."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from providers.offline.words import FOLDER, FOLDERS, LITERAL, NO_FOLDER, SEEK, STOP, WITHIN

_TOKEN = re.compile(
    r"""
    (?P<url>https?://[^\s<>"'`]+)
    |\b(?P<key>[A-Za-z_]\w*)=(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s,;"']+))
    |"(?P<q1>[^"]+)"|“(?P<q2>[^“”]+)”|„(?P<q3>[^“”]+)[“”]|‘(?P<q4>[^‘’]+)’|«(?P<q5>[^»]+)»|`(?P<q6>[^`]+)`
    |(?<!\w)'(?P<q7>[^']+)'(?!\w)
    |(?P<code>\w[\w.]*\()
    |(?P<word>[^\s,;!?()\[\]"“”„«»]+)
    |(?P<end>[,;!?])
    """,
    re.VERBOSE,
)
_QUOTES = tuple(f"q{number}" for number in range(1, 8))
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?\Z")
_FILE = re.compile(r"[\w*][\w*.\-]*\.(?:[A-Za-z][A-Za-z0-9]{0,7}|\*|\{[\w,]+\})\Z|\.[A-Za-z][\w.\-]+\Z")
_NO_FILE = re.compile(
    r"(?:e\.g|i\.e|a\.m|p\.m|etc|vs)\.?\Z|.*\.(?:com|org|net|io|dev)\Z|node\.js\Z|.*\d\.\d", re.IGNORECASE
)
_NO_PATH = re.compile(r"and/or\Z|[A-Z]{1,4}/[A-Z]{1,4}\Z|\w/\w\Z")
_IDENTIFIER = re.compile(r"[A-Z][A-Z0-9_]{3,}\Z|\w*[a-z0-9]_\w+\Z|_+\w+\Z|[a-z]+[A-Z]\w*\Z")
_NAMES_OF_FORMATS = frozenset({"JSON", "YAML", "TOML", "HTML", "JSONL", "README", "HTTP", "TSV"})
BARE = "bare"
"""The key of a path that is no more than a word: only where it stands says that it is a folder."""


@dataclass(frozen=True)
class Token:
    """A piece of the text. `kind`: word, path, quoted, url, number, pair, code (an identifier, `call(`), end."""

    kind: str
    text: str
    key: str = ""


def tokens(text: str) -> list[Token]:
    """The tokens of a text. Nothing of it is lost but punctuation."""
    return list(_bare_folders(_literals(list(_tokens(text)))))


def _tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if key := match["key"]:
            yield Token("pair", match["double"] or match["single"] or match["bare"] or "", key)
        elif kind in _QUOTES:
            quoted = match[kind]
            yield Token("path" if _is_quoted_path(quoted) else "quoted", quoted)
        elif kind == "word":
            yield _word(match["word"])
        else:
            yield Token(kind, match[kind].rstrip(".,;:!?)") if kind == "url" else match[kind])


def _word(found: str) -> Token:
    text = found.rstrip(".:'*" if "/" not in found and "*." not in found else ".:'").lstrip("'") or found
    if _NUMBER.match(text):
        return Token("number", text)
    if _is_path(text):
        return Token("path", text)
    if _IDENTIFIER.match(text) and text not in _NAMES_OF_FORMATS:
        return Token("code", text)
    return Token("word", text)


def _is_path(text: str) -> bool:
    if "/" in text:
        return not _NO_PATH.match(text) and text.strip("/") != ""
    return bool(_FILE.match(text)) and not _NO_FILE.match(text)


def _is_quoted_path(text: str) -> bool:
    if "\n" in text or text != text.strip() or len(text) > 1000 or not re.search(r"\w", text):
        return False
    return ("/" in text and "://" not in text and not re.search(r"[<>(){}=;\\]", text)) or bool(
        re.match(r"[\w ().,&+\-]*\.(?:[A-Za-z][A-Za-z0-9]{0,4})\Z", text) and not _NO_FILE.match(text)
    )


def _literals(tokens: list[Token]) -> list[Token]:
    """`the word price` means the text `price`, as if it were quoted."""
    for place in range(1, len(tokens)):
        before, token = tokens[place - 1], tokens[place]
        is_literal = before.kind == token.kind == "word" and before.text.lower() in LITERAL
        if is_literal and token.text.lower() not in STOP | {"file", "files"}:
            tokens[place] = Token("quoted", token.text)
    return tokens


def _bare_folders(tokens: list[Token]) -> Iterator[Token]:
    """`in src`, `the shop folder`, `folder shop`: a folder's name without a slash."""
    for place, token in enumerate(tokens):
        before = tokens[place - 1].text.lower() if place else ""
        after = tokens[place + 1] if place + 1 < len(tokens) else Token("end", "")
        yield Token("path", token.text, BARE) if _is_bare_folder(before, token, after) else token


def _is_bare_folder(before: str, token: Token, after: Token) -> bool:
    if token.kind not in ("word", "quoted", "code") or token.text.lower() in STOP | FOLDER | NO_FOLDER:
        return False
    if token.kind == "word" and not re.match(r"[\w.\-]+\Z", token.text):
        return False
    if token.text in FOLDERS or before in FOLDER or after.text.lower() in FOLDER:
        return True
    ends = after.kind in ("end", "path") or after.text.lower() in STOP | SEEK
    return token.kind != "quoted" and before in WITHIN and ends
