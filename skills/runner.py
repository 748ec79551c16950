"""The child: runs one skill's code, and speaks JSON lines with the worker. Standard library only, any Python >= 3.9.

    python runner.py <folder> <handler file>

One call at a time. While it runs, its code may ask the model, and an agent may call skills: a line {ask: …} or
{call: …} out, a line in reply. The skill's prints go to stderr; nothing that it writes can reach the channel. The
process and all that it starts die with the worker, and when the worker closes the channel.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

MAX_ANSWER_BYTES = 64 << 20
DEFAULT_FUNCTIONS = ("run", "execute", "main")
WHOLE_INPUT = ("input_data", "input", "arguments", "args", "data", "params")
FINAL_ERRORS = ("SkillInputError", "PermanentError")
PR_SET_PDEATHSIG = 1
LATE_SECONDS = 1.0
SDK = Path(__file__).parent.parent / "holdfast" / "sdk.py"
OVER = "the call is over: nobody waits for an answer"


class NoHandler(Exception):
    """The skill's code has no function to call. Trying again cannot help."""

    retryable = False


class BadAnswer(Exception):
    """The skill's answer is not JSON, or too large. Trying again cannot help."""

    retryable = False


class ModelError(Exception):
    """The model gave no answer. `type` is the name of the error behind it, such as `NoModel` or `ModelRefused`."""

    def __init__(self, message: str, type: str, *, retryable: bool) -> None:  # noqa: A002 - the name that skills see
        super().__init__(message)
        self.type, self.retryable = type, retryable


class ToolFailed(Exception):
    """What a tool gave as its error: its answer, which another try would not change. A tool that wants one raises."""

    retryable = False


def load_module(folder: str, handler: str, name: str) -> ModuleType:
    """Import a skill's code by path, as a package of its own, so that `from . import other` finds its neighbours."""
    path = Path(folder, handler)
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise NoHandler(f"{handler} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find_function(module: ModuleType, handler: str, named: str | None) -> Callable[..., Any]:
    """The function that is named, else the first of `run`, `execute`, `main`."""
    for name in (named,) if named else DEFAULT_FUNCTIONS:
        found = getattr(module, name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    defined = sorted(
        name for name, item in vars(module).items() if inspect.isfunction(item) and not name.startswith("_")
    )
    wanted = named or " or ".join(DEFAULT_FUNCTIONS)
    raise NoHandler(f"{handler} has no function {wanted}; it has: {', '.join(defined) or 'none'}")


def positional_and_named(
    function: Callable[..., Any], arguments: dict[str, Any], context: Any
) -> tuple[list[Any], dict[str, Any]]:
    """How this function wants its input: as keywords, or, if its only parameter says so, as one dict."""
    parameters = inspect.signature(function).parameters
    extra = {"context": context} if "context" in parameters and "context" not in arguments else {}
    others = [name for name in parameters if name not in extra]
    if (
        len(others) == 1
        and others[0] in WHOLE_INPUT
        and others[0] not in arguments
        and parameters[others[0]].kind is not inspect.Parameter.VAR_KEYWORD
    ):
        return [arguments], extra
    return [], {**arguments, **extra}


def describe(exc: BaseException, folder: str) -> dict[str, Any]:
    """An exception as data: class, message, the line of the skill's own code, and whether to try again."""
    is_final = type(exc).__name__ in FINAL_ERRORS or getattr(exc, "retryable", True) is False
    return {
        "kind": _kind(exc),
        "type": type(exc).__name__,
        "message": str(exc)[:4000],
        "place": _place(exc, folder),
        "retryable": not is_final,
    }


def _kind(exc: BaseException) -> str:
    if isinstance(exc, (BadAnswer, ModelError)):
        return "answer" if isinstance(exc, BadAnswer) else "model"
    return "input" if type(exc).__name__ == "SkillInputError" else "skill"


def _place(exc: BaseException, folder: str) -> str:
    own = [frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename.startswith(folder)]
    return f"{os.path.relpath(own[-1].filename, folder)}:{own[-1].lineno}" if own else ""


def encoded(value: Any, what: str = "answer") -> bytes:
    """Strict JSON on one line: no NaN, no keys but text, nothing that JSON has no word for, at most 64 MiB.

    Raises:
        BadAnswer: says where, and what was found.
    """
    try:
        fault = next(_faults(value, what), None)
        text = b"" if fault else json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as exc:
        fault = f"cyclic, nested too deep, or not Unicode: {exc}"
    if fault:
        raise BadAnswer(f"the {what} is not JSON: {fault}")
    if len(text) > MAX_ANSWER_BYTES:
        raise BadAnswer(
            f"the {what} has {len(text)} bytes; allowed are {MAX_ANSWER_BYTES}. Write it to a file in the workspace"
        )
    return text


def _faults(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {value!r}; allowed are finite numbers"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{path} has the key {key!r:.80}; allowed are text keys"
            yield from _faults(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _faults(item, f"{path}[{number}]")
    elif not isinstance(value, (str, int, float, type(None))):
        yield f"{path} is of type {type(value).__name__}; allowed are text, numbers, true, false, null, lists and dicts"


def in_event_loop() -> bool:
    """Whether this thread runs one: then who asks the model awaits, else it waits."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.get_running_loop() is not None
    except RuntimeError:
        return False


class _Channel:
    """Lines to and from the worker. Threads of the skill take turns; when its call is over, none may ask any more."""

    def __init__(self, frames_in: BinaryIO, frames_out: BinaryIO) -> None:
        self._in, self._out = frames_in, frames_out
        self._turn = threading.Lock()
        self._is_open = False

    def frames(self) -> Iterator[dict[str, Any]]:
        for line in iter(self._in.readline, b""):
            self._is_open = True
            yield json.loads(line)

    def settle(self, line: bytes) -> None:
        """The answer of the call. A question that is under way is answered first."""
        with self._turn:
            self._is_open = False
            self._write(line)

    def llm(self, prompt: str | None = None, *, system: str = "", **variables: Any) -> Any:
        """The model's text; in an event loop, an awaitable of it. Without `prompt`, the skill's template is filled in.

        Raises:
            ModelError: there is no answer.
        """
        ask = partial(self._ask, {"prompt": prompt, "system": system, "variables": variables})
        return sys.modules["asyncio"].get_running_loop().run_in_executor(None, ask) if in_event_loop() else ask()

    def call(self, skill: str, arguments: dict[str, Any]) -> Any:
        """What a skill answers.

        Raises:
            ModelError: it does not.
        """
        question = {"skill": skill, "arguments": arguments}
        return self._told(b'{"call":' + encoded(question, "arguments") + b"}\n")["value"]

    def text(self, prompt: str, system: str) -> str:
        """The model's text, also within an event loop, which stands still meanwhile."""
        return self._ask({"prompt": prompt, "system": system, "variables": {}})

    def _ask(self, question: dict[str, Any]) -> str:
        return str(self._told(b'{"ask":' + encoded(question, "question") + b"}\n")["text"])

    def _told(self, line: bytes) -> dict[str, Any]:
        with self._turn:
            if not self._is_open:
                raise ModelError(OVER, "SkillRefused", retryable=False)
            self._write(line)
            reply: dict[str, Any] = json.loads(self._in.readline())
        if "error" in reply:
            raise ModelError(**reply["error"])
        return reply

    def _write(self, line: bytes) -> None:
        self._out.write(line)
        self._out.flush()


class _Runner:
    def __init__(self, folder: str, handler: str, channel: _Channel) -> None:
        self.folder, self.handler, self.channel = folder, handler, channel
        self.module: ModuleType | None = None
        self.sdk: Any = None

    def answer(self, frame: dict[str, Any]) -> bytes:
        try:
            os.chdir(frame["context"]["workspace"])
            self._load_class() if "class" in frame else self._load()
            # The clock is that of the machine, also for the worker: both may have been paused since it wrote.
            if time.monotonic() - frame["sent_at"] > LATE_SECONDS:
                return b'{"late":true}\n'
            value = self._call_class(frame) if "class" in frame else self._call(frame)
            return b'{"value":' + encoded(value) + b"}\n"
        except (Exception, SystemExit, KeyboardInterrupt) as exc:  # noqa: BLE001 - whatever the skill raises is its answer
            traceback.print_exc()
            return json.dumps({"error": describe(exc, self.folder)}).encode() + b"\n"

    def _load(self) -> None:
        if self.module is None:
            sys.path.insert(0, str(Path(self.folder, self.handler).parent))
            self.module = load_module(self.folder, self.handler, "holdfast_skill")

    def _call(self, frame: dict[str, Any]) -> Any:
        assert self.module is not None
        function = find_function(self.module, self.handler, frame["function"])
        context = SimpleNamespace(**frame["context"], log=_log, llm=self.channel.llm, ModelError=ModelError)
        args, kwargs = positional_and_named(function, frame["arguments"], context)
        value = function(*args, **kwargs)
        return _awaited(value) if inspect.isawaitable(value) else value

    def _load_class(self) -> None:
        """The module that holds an agent or a tool, with the base classes that it needs."""
        if self.module is None:
            sys.path.insert(0, self.folder)
            self.sdk = load_module(str(SDK.parent), SDK.name, "holdfast.sdk")
            self.sdk.introduce()
            self.sdk.connect(self._model_text, self._skill_answer)
            self.module = self.sdk.load_file(self.folder, self.handler)

    def _call_class(self, frame: dict[str, Any]) -> Any:
        """An agent gets its whole input and who asks, a tool its arguments; of a tool's wrapping, only the result."""
        wanted = frame["class"]
        cls = getattr(self.module, wanted["name"], None)
        if cls is None:
            raise NoHandler(f"{self.handler} has no class {wanted['name']}")
        one = self.sdk.registry.get(cls)
        if wanted["kind"] == "own":
            one.config = wanted["config"]
            value = one.execute(frame["arguments"]["input"], **_asker(one.execute, wanted["user_id_hash"]))
            return _awaited(value) if inspect.isawaitable(value) else value
        args, kwargs = positional_and_named(one.execute, frame["arguments"], SimpleNamespace(**frame["context"]))
        value = one.execute(*args, **kwargs)
        return unwrapped(_awaited(value) if inspect.isawaitable(value) else value)

    def _model_text(self, prompt: str, system: str = "") -> str:
        return self.channel.text(prompt, system)

    def _skill_answer(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            return self.channel.call(name, arguments)
        except ModelError as exc:
            raise self.sdk.ToolError(str(exc), exc.type, retryable=exc.retryable) from exc


def _asker(execute: Callable[..., Any], user_id_hash: str | None) -> dict[str, Any]:
    """`user_id_hash`, for an agent that wants to know."""
    parameters = inspect.signature(execute).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return {"user_id_hash": user_id_hash} if takes_any or "user_id_hash" in parameters else {}


def unwrapped(value: Any) -> Any:
    """The result out of a tool's {success, result, error, metadata}; any other answer is the result itself.

    Raises:
        ToolFailed: the tool says that it did not succeed.
    """
    if not (isinstance(value, dict) and isinstance(value.get("success"), bool)):
        return value
    if value["success"]:
        return value.get("result")
    raise ToolFailed(str(value.get("error") or "it says only that it did not succeed"))


def _awaited(value: Awaitable[Any]) -> Any:
    import asyncio  # Half of the time that a start takes; most skills are plain functions.

    async def whole() -> Any:
        return await value

    return asyncio.run(whole())


def _log(event: str, **values: Any) -> None:
    print(event, *(f"{name}={value!r}" for name, value in values.items()), file=sys.stderr, flush=True)


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """The two ends of the channel, moved away from 0 and 1, which from now on are /dev/null and stderr."""
    frames_in, frames_out = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return os.fdopen(frames_in, "rb"), os.fdopen(frames_out, "wb")


def _die_with_parent(frames_in: int) -> None:
    """Two guards: the kernel kills this process when the worker dies; a watcher kills all that the skill started."""
    with suppress(ImportError, OSError, AttributeError):  # Not Linux: the watcher alone does it.
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Forked twice, so that it is no child of this process: a skill may wait for all of its children.
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
    elif os.fork():
        os._exit(0)
    else:
        _watch(frames_in)


def _watch(frames_in: int) -> None:
    """Wait until the worker's end of the channel is closed, then kill the whole process group, this process too."""
    os.closerange(0, frames_in)
    os.closerange(frames_in + 1, 256)
    hangup = select.poll()
    hangup.register(frames_in, 0)
    hangup.poll()
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    folder, handler = sys.argv[1:3]
    del sys.path[0]  # This file's own folder: its neighbours are none of the skill's business.
    frames_in, frames_out = _channel()
    _die_with_parent(frames_in.fileno())
    channel = _Channel(frames_in, frames_out)
    runner = _Runner(folder, handler, channel)
    for frame in channel.frames():
        channel.settle(runner.answer(frame))
    os._exit(0)


if __name__ == "__main__":
    main()
