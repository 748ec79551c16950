"""What can be read off a task's text without understanding it: paths, quoted texts, numbers, and the other words."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from providers.offline.words import FOLDERS, LITERAL, NO_FOLDER, STOP

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
_TO, _WITHIN = frozenset({"to", "into", "as"}), frozenset({"in", "under", "below", "inside", "within", "from"})
_FOLDER = frozenset({"folder", "directory", "dir", "subfolder"})
_FILES = frozenset({"file", "files", "module", "modules", "script", "scripts"})
_SEEK = frozenset({"find", "search", "grep", "for", "locate", "occurrences", "uses", "mentions"})
_BARE = "bare"
_ABOUT = frozenset({"for", "about", "on"})


@dataclass(frozen=True)
class Token:
    """A piece of the text. `kind`: word, path, quoted, url, number, pair, code (an identifier, `call(`), end."""

    kind: str
    text: str
    key: str = ""


@dataclass(frozen=True)
class Place:
    """A file or folder that the task names; `pattern` is a glob below it."""

    path: str
    pattern: str = "**"


@dataclass(frozen=True)
class Said:
    """A task's text in tokens, and what they amount to."""

    text: str
    tokens: tuple[Token, ...]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words with a meaning of their own, in lower case and in order, each once."""
        found = (word for token in self.tokens if token.kind == "word" for word in split(token.text))
        return tuple(dict.fromkeys(word for word in found if word not in STOP and len(word) > 1))

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Paths in order, each once; but those that something is to be written to."""
        paths = (token.text for token in self._paths() if token not in self._targets())
        return tuple(dict.fromkeys(map(_place, paths)))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Paths after `to`, `into` or `as`."""
        return tuple(dict.fromkeys(token.text for token in self._targets()))

    @cached_property
    def all_places(self) -> tuple[Place, ...]:
        return tuple(dict.fromkeys(_place(token.text) for token in self._paths()))

    @cached_property
    def quoted(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.kind in ("quoted", "code"))

    @cached_property
    def urls(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.kind == "url")

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.kind == "number")

    @cached_property
    def pairs(self) -> dict[str, str]:
        return {token.key: token.text for token in self.tokens if token.kind == "pair"}

    @cached_property
    def subject(self) -> str:
        """What comes after the first `for`, `about` or `on`, to the end: what a search of the web is about."""
        for place, token in enumerate(self.tokens):
            if token.kind == "word" and token.text.lower() in _ABOUT:
                return " ".join(each.text for each in self.tokens[place + 1 :] if each.kind != "end")
        return ""

    @cached_property
    def sought(self) -> str:
        """What comes after `find`, `search` or `for`, up to where: what is looked for in files."""
        tokens = list(self.tokens)
        for place, token in enumerate(tokens):
            if token.text.lower() in _SEEK:
                rest = itertools.takewhile(_is_sought, itertools.dropwhile(_is_filler, tokens[place + 1 :]))
                return " ".join(token.text for token in rest)
        return ""

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Words right before `files` or `modules`."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return tuple(one.text.lower() for one, two in pairs if two.text.lower() in _FILES and one.kind == "word")

    def unit(self, number: str) -> set[str]:
        """The words right after a number."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return {word for one, two in pairs if one.kind == "number" and one.text == number for word in split(two.text)}

    @cached_property
    def has_path(self) -> bool:
        """Whether one is named that can be nothing else: with a slash or an ending."""
        return any(token.key != _BARE for token in self._paths())

    def _paths(self) -> list[Token]:
        return [token for token in self.tokens if token.kind == "path"]

    def _targets(self) -> list[Token]:
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [after for before, after in pairs if after.kind == "path" and before.text.lower() in _TO]


def read(text: str) -> Said:
    """The tokens of a text. Nothing of it is lost but punctuation."""
    return Said(text, tuple(_bare_folders(_literals(list(_tokens(text))))))


def split(text: str) -> list[str]:
    """Its words in lower case, in the spelling that the index has: `Summarise` -> `summarize`."""
    return [_spelled(word) for word in re.findall(r"[^\W_]+", text.lower())]


def _spelled(word: str) -> str:
    return re.sub(r"(?<=[a-z]{3}[iy])s(?=(?:e|es|ed|er|ers|ing|ation)\Z)", "z", word)


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


def _is_filler(token: Token) -> bool:
    return token.text.lower() in STOP | _SEEK


def _is_sought(token: Token) -> bool:
    return token.kind == "word" and token.text.lower() not in _WITHIN | {"is", "are", "and", "or"}


def _bare_folders(tokens: list[Token]) -> Iterator[Token]:
    """`in src`, `the shop folder`, `folder shop`: a folder's name without a slash."""
    for place, token in enumerate(tokens):
        before = tokens[place - 1].text.lower() if place else ""
        after = tokens[place + 1] if place + 1 < len(tokens) else Token("end", "")
        yield Token("path", token.text, _BARE) if _is_bare_folder(before, token, after) else token


def _is_bare_folder(before: str, token: Token, after: Token) -> bool:
    if token.kind not in ("word", "quoted", "code") or token.text.lower() in STOP | _FOLDER | NO_FOLDER:
        return False
    if token.kind == "word" and not re.match(r"[\w.\-]+\Z", token.text):
        return False
    if token.text in FOLDERS or before in _FOLDER or after.text.lower() in _FOLDER:
        return True
    ends = after.kind in ("end", "path") or after.text.lower() in STOP
    return token.kind != "quoted" and before in _WITHIN and ends


def _place(path: str) -> Place:
    """`data/*.csv` is the pattern `*.csv` below `data`."""
    clean = path.removeprefix("./").rstrip("/") or "."
    fixed, parts = [], clean.split("/")
    while parts and not re.search(r"[*?{\[]", parts[0]):
        fixed.append(parts.pop(0))
    if not parts:
        return Place(clean)
    pattern = "/".join(parts)
    return Place("/".join(fixed) or ".", pattern if fixed or "/" in pattern else f"**/{pattern}")
