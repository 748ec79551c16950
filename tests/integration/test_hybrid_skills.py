"""Skills whose code asks the model: in the worker, and in processes that speak lines with it."""

import asyncio
import contextvars
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from holdfast.catalogue import BUILTIN, CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.errors import (
    ModelBusy,
    ModelRefused,
    NoModel,
    SecretMissing,
    SettingsInvalid,
    SkillCrashed,
    SkillFailed,
    SkillInputError,
    SkillOutputError,
    SkillRefused,
    SkillTimeout,
)
from skills.asking import AskModel
from skills.run import SkillRunner
from skills.runner import load_module
from tests.integration.test_skill_runner import Bench, builtin, ended, written
from tests.support.builtin import parsed

ORIGINS = ["project", "builtin"]
HYBRID = "kind: hybrid\ninput_schema: {properties: {topic: {type: string, default: bees}}}\n"
TEMPLATE = HYBRID + "prompt_template: 'About {{topic}} in {{words}} words'\n"


class Asked:
    """A model that answers each prompt with its number and itself, and keeps what it was asked."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.questions: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0

    async def __call__(self, prompt: str, system: str) -> str:
        self.questions.append((prompt, system))
        number = len(self.questions)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        return f"{number}: {prompt}"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "Ünter Ordner")
    yield bench
    await bench.runner.close()


def add(bench: Bench, origin: str, code: str, extra: str = TEMPLATE) -> CatalogueSkill:
    bench.runner._modules.clear()  # Built-in code is loaded once; here each test writes another.
    return bench.add(code, extra) if origin == "project" else builtin(bench, code, extra)


PLAIN = """
def run(topic, context):
    own = context.llm(words=7)
    given = context.llm("Say {{topic}} ä\\n", system="Be brief")
    return [own, given, context.llm(words=7)]
"""
ASYNC = """
import asyncio
async def run(topic, context):
    own = await context.llm(words=7)
    given = await asyncio.wait_for(context.llm("Say {{topic}} ä\\n", system="Be brief"), 5)
    return [own, given, *await asyncio.gather(context.llm(words=7))]
"""


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("code", [PLAIN, ASYNC], ids=["plain", "async"])
async def test_code_asks_with_its_template_or_a_prompt_of_its_own(bench: Bench, origin: str, code: str) -> None:
    ask = Asked()
    answer = await bench.run(add(bench, origin, code), {"topic": "{{words}}"}, ask_model=ask)
    asked = [("About {{words}} in 7 words", ""), ("Say {{topic}} ä\n", "Be brief"), ("About {{words}} in 7 words", "")]
    assert ask.questions == asked
    assert answer == [f"{number}: {prompt}" for number, (prompt, _) in enumerate(asked, 1)]


THREADS = """
from concurrent.futures import ThreadPoolExecutor
def run(topic, context):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: context.llm(f"q{n}").split(": ")[1], range(20)))
"""
GATHER = """
import asyncio
async def run(topic, context):
    asked = [context.llm(f"q{n}") for n in range(10)] + [asyncio.to_thread(context.llm, f"q{n}") for n in range(10, 20)]
    return [text.split(": ")[1] for text in await asyncio.gather(*asked)]
"""


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("code", [THREADS, GATHER], ids=["threads", "gather"])
async def test_many_questions_get_their_own_answers_one_after_another(bench: Bench, origin: str, code: str) -> None:
    ask = Asked(0.005)
    assert await bench.run(add(bench, origin, code), ask_model=ask) == [f"q{n}" for n in range(20)]
    assert (len(ask.questions), ask.most_at_once) == (20, 1)


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_skill_is_asked_again_after_a_call_that_asked(bench: Bench, origin: str) -> None:
    skill = add(bench, origin, "import os\ndef run(topic, context):\n    return [context.llm('x'), os.getpid()]\n")
    ask = Asked()
    first, second = await bench.run(skill, ask_model=ask), await bench.run(skill, ask_model=ask)
    assert (first[0], second[0], first[1] == second[1]) == ("1: x", "2: x", True)


async def test_a_megabyte_goes_to_the_model_and_back(bench: Bench) -> None:
    code = "def run(topic, context):\n    return context.llm('ä\\n\\u2028' * 300_000)\n"
    answer = await bench.run(add(bench, "project", code), ask_model=Asked())
    assert answer == "1: " + "ä\n\u2028" * 300_000


async def test_questions_of_threads_carry_the_context_of_the_call(bench: Bench) -> None:
    """The activity's own context variables are set where the model is asked, whichever thread asks."""
    here: contextvars.ContextVar[str] = contextvars.ContextVar("here", default="nowhere")
    here.set("in the call")
    code = """
import threading
def run(topic, context):
    said = []
    thread = threading.Thread(target=lambda: said.append(context.llm("x")))
    thread.start()
    thread.join()
    return said
"""

    async def ask(prompt: str, system: str) -> str:
        return here.get()

    assert await bench.run(add(bench, "builtin", code), ask_model=ask) == ["in the call"]


# -- no model, and models that fail

ASK = "def run(topic, context):\n    return context.llm('x')\n"
CATCH = """
def run(topic, context):
    try:
        return context.llm("x")
    except context.ModelError as error:
        return [type(error).__name__, error.type, error.retryable, str(error)]
"""


@pytest.mark.parametrize("origin", ORIGINS)
async def test_without_a_model_only_who_asks_one_fails(bench: Bench, origin: str) -> None:
    assert await bench.run(add(bench, origin, "def run(topic):\n    return topic\n")) == "bees"
    with pytest.raises(NoModel, match="asks a language model, and none is set up"):
        await bench.run(add(bench, origin, ASK))
    script = add(bench, origin, "def run(context):\n    return context.llm('x')\n", "kind: script\n")
    ask = Asked()
    with pytest.raises(NoModel, match="kind 'script'; only the code of a hybrid skill"):
        await bench.run(script, ask_model=ask)
    assert ask.questions == []


class Recorded(ModelRefused):
    """An error that comes from a journal, where it is data."""


FAILURES = [ModelRefused("no"), ModelBusy("overloaded", retry_after=3.0), Recorded("no", type="ModelFailed")]


def failing(error: Exception) -> Callable[[str, str], Awaitable[str]]:
    async def ask(prompt: str, system: str) -> str:
        raise error

    return ask


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_a_model_that_fails_is_an_error_in_the_code_and_else_the_calls(
    bench: Bench, origin: str, error: ModelRefused
) -> None:
    told = ["ModelError", error.details.get("type", type(error).__name__), error.retryable, str(error)]
    assert await bench.run(add(bench, origin, CATCH), ask_model=failing(error)) == told
    with pytest.raises(type(error)) as failure:
        await bench.run(add(bench, origin, ASK), ask_model=failing(error))
    assert failure.value is error
    assert failure.value.__cause__ is None


@pytest.mark.parametrize("origin", ORIGINS)
async def test_code_may_go_on_or_fail_in_its_own_way_after_a_failed_question(bench: Bench, origin: str) -> None:
    code = """
def run(topic, context):
    try:
        context.llm("x")
    except Exception as error:
        raise ValueError("no luck") from error
"""
    with pytest.raises(SkillFailed, match="raised ValueError: no luck"):
        await bench.run(add(bench, origin, code), ask_model=failing(ModelRefused("no such model")))


WRONG = [
    ("context.llm(nothing=1)", SkillInputError, r"variable 'words' has no value;.* there are: 'topic', 'nothing'"),
    ("context.llm('x', words=7)", SkillInputError, "got a prompt and 'words'; variables fill in"),
    ("context.llm(5)", SkillInputError, "a prompt and a system prompt are texts"),
    ("context.llm('x', system=None)", SkillInputError, "a prompt and a system prompt are texts"),
]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("asking", "error", "why"), WRONG, ids=[row[0] for row in WRONG])
async def test_a_wrong_question_is_explained(
    bench: Bench, origin: str, asking: str, error: type[Exception], why: str
) -> None:
    ask = Asked()
    with pytest.raises(error, match=why):
        await bench.run(add(bench, origin, f"def run(topic, context):\n    return {asking}\n"), ask_model=ask)
    assert ask.questions == []


async def test_what_is_no_json_is_no_question(bench: Bench) -> None:
    code = "def run(topic, context):\n    return context.llm(words={1, 2})\n"
    with pytest.raises(SkillOutputError, match=r"the question is not JSON: question\.variables\.words is of type set"):
        await bench.run(add(bench, "project", code), ask_model=Asked())


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_skill_without_a_template_must_give_a_prompt(bench: Bench, origin: str) -> None:
    with pytest.raises(SkillRefused, match=r"has no prompt_template; give context\.llm a prompt"):
        await bench.run(
            add(bench, origin, "def run(topic, context):\n    return context.llm()\n", HYBRID), ask_model=Asked()
        )


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_secret_does_not_reach_the_model(bench: Bench, origin: str) -> None:
    code = "def run(topic, context):\n    t = context.secrets['TOKEN']\n    return context.llm(t, system='is ' + t)\n"
    ask = Asked()
    await bench.run(add(bench, origin, code, HYBRID + "secrets: [TOKEN]\n"), ask_model=ask)
    assert ask.questions == [("[secret TOKEN]", "is [secret TOKEN]")]


# -- time

SLOW = "import time\ndef run(topic, context):\n    context.llm('x')\n    time.sleep({seconds})\n    return 'done'\n"


@pytest.mark.parametrize("origin", ORIGINS)
async def test_the_limit_of_a_call_stands_still_while_the_model_is_asked(bench: Bench, origin: str) -> None:
    quick = add(bench, origin, SLOW.format(seconds=0))
    await bench.run(quick, ask_model=Asked())  # The first call pays for the start of the process.
    begun = time.monotonic()
    assert await bench.run(quick, ask_model=Asked(1.5), timeout_seconds=1) == "done"
    assert time.monotonic() - begun > 1.5
    with pytest.raises(SkillTimeout, match="longer than its 1 s"):
        await bench.run(add(bench, origin, SLOW.format(seconds=30)), ask_model=Asked(0.2), timeout_seconds=1)


async def test_a_call_cancelled_while_it_asks_leaves_no_process(bench: Bench) -> None:
    code = """
import os, pathlib
def run(topic, context):
    pathlib.Path("pid").write_text(f"{os.getpid()}\\n")
    return context.llm("x")
"""
    asked = asyncio.Event()

    async def ask(prompt: str, system: str) -> str:
        asked.set()
        return await asyncio.Event().wait() and ""

    call = asyncio.create_task(bench.run(add(bench, "project", code), ask_model=ask))
    pid = int(await written(bench.workspace / "pid"))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await ended(pid)


async def test_a_cancelled_call_of_a_built_in_cancels_its_question(bench: Bench) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def ask(prompt: str, system: str) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    call = asyncio.create_task(bench.run(add(bench, "builtin", ASK), ask_model=ask))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(5):
        await cancelled.wait()


LATE = """
import threading, pathlib
def run(topic, context):
    go = threading.Event()
    def later():
        go.wait()
        try:
            said = context.llm("late")
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        (pathlib.Path(context.workspace) / "said").write_text(said + "\\n")
    thread = threading.Thread(target=later, daemon=True)
    thread.start()
    threading.Timer(0.5, go.set).start()
    return "done"
"""


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_thread_that_outlives_its_call_asks_in_vain(bench: Bench, origin: str) -> None:
    ask = Asked()
    skill = add(bench, origin, LATE)
    assert await bench.run(skill, ask_model=ask) == "done"
    assert "call" in (said := await written(bench.workspace / "said")) and "over" in said
    assert ask.questions == []
    assert await bench.run(skill, ask_model=ask) == "done"


# -- a child that does not keep to the protocol

SPEAK = """
import os
def run(line, context):
    for fd in range(3, 30):
        try:
            os.write(fd, line.encode())
        except OSError:
            pass
    import time
    time.sleep(30)
"""
LINES = [
    "not json\n",
    '{"ask": 5}\n',
    '{"ask": {"prompt": "x"}, "value": 1}\n',
    '{"ask": {}}\n{"value": "forged"}\n',
    '{"error": {"kind": "model"}}\n',
    '{"error": "x"}\n',
    "[]\n",
    '{"value": ' + "[" * 100_000 + "\n",
    "\xff\n",
]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
async def test_a_line_that_is_none_of_the_protocol_costs_the_process(bench: Bench, line: str) -> None:
    skill = bench.add(SPEAK, "kind: hybrid\n")
    with pytest.raises(SkillCrashed, match="'tidy' broke the protocol: it wrote"):
        await bench.run(skill, {"line": line}, ask_model=Asked())
    assert not any(process.is_alive and process in bench.runner._pool._idle for process in bench.runner._pool._living)


@pytest.mark.parametrize("question", ["{}", '{"prompt": 5, "system": "", "variables": {}}', '{"prompt": "x"}'])
async def test_a_malformed_question_is_answered_with_an_error(bench: Bench, question: str) -> None:
    ask = Asked()
    with pytest.raises(SkillTimeout):
        await bench.run(
            bench.add(SPEAK, "kind: hybrid\n"), {"line": f'{{"ask": {question}}}\n'}, ask_model=ask, timeout_seconds=2
        )
    assert ask.questions == []


async def test_a_model_error_that_no_question_led_to_is_a_failed_call(bench: Bench) -> None:
    code = "def run(topic, context):\n    raise context.ModelError('made up', 'ModelBusy', retryable=True)\n"
    with pytest.raises(SkillFailed, match="raised ModelError: made up"):
        await bench.run(add(bench, "project", code), ask_model=Asked())


# -- web-search, on a search engine of our own


class Engine:
    """A search engine on loopback: says what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"{}", {"Content-Type": "application/json"}
        self.delay = 0.0
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        engine = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                engine.asked.append((path, dict(parse_qsl(query)), {k.lower(): v for k, v in self.headers.items()}))
                engine.closed.wait(engine.delay)
                self.send_response(engine.status)
                for name, value in {**engine.headers, "Content-Length": str(len(engine.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(engine.body)

            def log_message(self, *_: object) -> None:
                return

        self.closed = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def say(self, found: Json) -> None:
        self.body = json.dumps(found).encode()

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


Search = Callable[..., Awaitable[Any]]


@pytest.fixture
async def search(bench: Bench, engine: Engine) -> AsyncIterator[Search]:
    """web-search as the worker runs it. `environ` are the operator's variables; by default the engine is a SearXNG."""
    loaded = CatalogueSkill.of(parsed("web-search"), "builtin")
    runners: list[SkillRunner] = []

    async def search(
        environ: dict[str, str] | None = None,
        ask_model: AskModel | None = None,
        timeout_seconds: float = 20,
        **arguments: Json,
    ) -> Any:
        variables = {"SEARXNG_URL": engine.url} if environ is None else environ
        runners.append(SkillRunner(bench.blobs, bench.workspace, variables))
        context = bench.context(ask_model=ask_model, timeout_seconds=timeout_seconds)
        return await runners[-1].run(loaded, {"query": "bees & Käse", **arguments}, context)

    yield search
    for one in runners:
        await one.close()


ROWS = [
    {
        "title": "<b>Bees</b> &amp; flowers",
        "url": "https://a.example/1",
        "content": "They <strong>fl</strong>y.\n 1 < 2",
    },
    {"title": "Cheese", "url": "http://b.example/", "content": None},
    {"title": "", "url": "https://c.example/", "content": "<script>evil()</script>x" + "y" * 1000},
    {"title": "no page", "url": "javascript:alert(1)", "content": "x"},
    {"title": "no address", "content": "x"},
    {"title": "long", "url": "https://d.example/" + "d" * 2000, "content": "x"},
    "no row",
]
PLAIN_ROWS = [
    {"title": "Bees & flowers", "url": "https://a.example/1", "snippet": "They fly. 1 < 2"},
    {"title": "Cheese", "url": "http://b.example/", "snippet": ""},
    {"title": "https://c.example/", "url": "https://c.example/", "snippet": "x" + "y" * 498 + "…"},
]


async def test_searxng_is_asked_and_its_results_are_plain_text(engine: Engine, search: Search) -> None:
    engine.say({"results": ROWS, "number_of_results": 0})
    assert await search() == {"results": PLAIN_ROWS, "total": 3}
    assert await search(limit=1) == {"results": PLAIN_ROWS[:1], "total": 3}
    path, query, headers = engine.asked[0]
    assert (path, query) == ("/search", {"q": "bees & Käse", "format": "json"})
    assert headers["accept"] == "application/json"


async def test_brave_is_asked_with_its_key(engine: Engine, search: Search) -> None:
    rows = [
        {"description" if key == "content" else key: row[key] for key in row} for row in ROWS if isinstance(row, dict)
    ]
    engine.say({"type": "search", "web": {"results": rows}})
    environ = {"BRAVE_API_KEY": "brave-key-1", "BRAVE_API_URL": f"{engine.url}/res/v1/"}
    assert await search(environ, limit=7) == {"results": PLAIN_ROWS, "total": 3}
    path, query, headers = engine.asked[0]
    assert (path, query) == ("/res/v1/web/search", {"q": "bees & Käse", "count": "7"})
    assert headers["x-subscription-token"] == "brave-key-1"


@pytest.mark.parametrize("body", ["{}", '{"results": []}', '{"web": {}}', '{"results": null}'])
async def test_nothing_found_is_an_answer_and_asks_no_model(engine: Engine, search: Search, body: str) -> None:
    engine.body = body.encode()
    assert await search(summarize=True) == {"results": [], "total": 0, "answer": ""}
    brave = {"BRAVE_API_KEY": "brave-key-1", "BRAVE_API_URL": engine.url}
    assert await search(brave) == {"results": [], "total": 0}


async def test_the_model_answers_from_the_results_when_asked_to(engine: Engine, search: Search) -> None:
    engine.say({"results": [*ROWS, {"title": "{{query}}", "url": "https://e.example/", "content": "{{limit}}"}]})
    ask = Asked()
    found = await search(summarize=True, ask_model=ask)
    ((prompt, system),) = ask.questions
    assert (found["answer"], found["total"], system) == (f"1: {prompt}".strip(), 4, "")
    assert "Query: bees & Käse\n" in prompt
    assert "[1] Bees & flowers\nhttps://a.example/1\nThey fly. 1 < 2\n\n[2] Cheese" in prompt
    assert "[4] {{query}}\nhttps://e.example/\n{{limit}}" in prompt
    with pytest.raises(NoModel):
        await search(summarize=True)


FAULTS: list[tuple[int, bytes, dict[str, str], type[Exception], str]] = [
    (429, b"", {"Retry-After": "7"}, SkillFailed, r"SearXNG is busy \(429\), and asks to wait 7 s"),
    (429, b"", {"Retry-After": "<script>"}, SkillFailed, r"SearXNG is busy \(429\)$"),
    (500, b"oh", {}, SkillFailed, "answered 500, a fault of its own"),
    (503, b"", {}, SkillFailed, "answered 503"),
    (403, b"<html>", {}, SkillRefused, "answered 403: SearXNG needs json among search.formats"),
    (302, b"", {"Location": "http://127.0.0.1:1/"}, SkillRefused, "answered 302"),
    (200, b"<html><body>Hello</body></html>", {}, SkillRefused, "something else than JSON: SearXNG needs json"),
    (200, b'{"results": [', {}, SkillRefused, "something else than JSON"),
    (200, b"[" * 100_000, {}, SkillRefused, "something else than JSON"),
    (200, b"\xff\xfe\x00", {}, SkillRefused, "something else than JSON"),
    (200, b"[1]", {}, SkillRefused, "JSON of another kind"),
    (200, b'{"results": "' + b"x" * (4 << 20) + b'"}', {}, SkillRefused, "more than 4194304 bytes"),
]


@pytest.mark.parametrize(("status", "body", "headers", "error", "why"), FAULTS, ids=[str(row[0]) for row in FAULTS])
async def test_a_faulty_engine_is_an_error_that_says_whether_to_try_again(
    engine: Engine,
    search: Search,
    status: int,
    body: bytes,
    headers: dict[str, str],
    error: type[SkillFailed],
    why: str,
) -> None:
    engine.status, engine.body, engine.headers = status, body, headers
    with pytest.raises(error, match=why) as failure:
        await search()
    assert type(failure.value) is error
    assert failure.value.retryable is (error is SkillFailed)
    assert len(engine.asked) == 1


async def test_halves_of_characters_and_hostile_markup_do_not_spoil_an_answer(engine: Engine, search: Search) -> None:
    row = {"title": "a\ud83d", "url": "https://a.example/\ud83d", "content": "<" * 50_000 + "<!--" + "&#x110000;"}
    engine.say({"results": [row]})
    (found,) = (await search())["results"]
    assert (found["title"], found["url"]) == ("a?", "https://a.example/?")


async def test_an_engine_that_hangs_or_is_not_there_is_tried_again(
    engine: Engine, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        SkillFailed, match=r"cannot be reached, or broke off \(ConnectError\); look at SEARXNG_URL"
    ) as down:
        await search({"SEARXNG_URL": "http://127.0.0.1:1"})
    assert down.value.retryable
    engine.delay = 30
    with pytest.raises(SkillTimeout):
        await search(timeout_seconds=0.5)


async def test_an_engine_that_sends_a_byte_now_and_then_is_given_up(search: Search) -> None:
    """Each read comes in time; the whole does not."""
    module = load_module(str(BUILTIN / "web-search"), "skill.py", "web_search_in_a_hurry")
    vars(module)["_SECONDS"] = 0.6

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(20):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
        writer.close()
        done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    secrets = {"SEARXNG_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    with pytest.raises(SkillFailed, match=r"did not answer within 0\.6 s"):
        await module.run(query="x", context=SimpleNamespace(secrets=secrets))
    await done.wait()
    server.close()


async def test_without_an_engine_the_variables_are_named(search: Search) -> None:
    with pytest.raises(SecretMissing, match=r"set SEARXNG_URL .* or BRAVE_API_KEY") as missing:
        await search({})
    assert not missing.value.retryable
    for variables, why in [
        ({"SEARXNG_URL": "ftp://x.example"}, "SEARXNG_URL begins with 'ftp://x.'"),
        ({"SEARXNG_URL": "file:///etc/passwd"}, "SEARXNG_URL begins with 'file:///'"),
        ({"SEARXNG_URL": "search.example"}, "SEARXNG_URL begins with 'search.e'"),
        ({"BRAVE_API_KEY": "k", "BRAVE_API_URL": "http://"}, "BRAVE_API_URL begins with 'http://'"),
        ({"SEARXNG_URL": "http://[::1"}, "SEARXNG_URL"),
        ({"SEARXNG_URL": "http://a.example:port"}, "SEARXNG_URL"),
    ]:
        with pytest.raises(SettingsInvalid, match=why) as invalid:
            await search(variables)
        assert not invalid.value.retryable


async def test_keys_and_passwords_of_an_engine_stand_in_no_message(engine: Engine, search: Search) -> None:
    engine.status = 403
    for variables in (
        {"SEARXNG_URL": engine.url.replace("//", "//user:hunter2@")},
        {"BRAVE_API_KEY": "hunter2-key", "BRAVE_API_URL": engine.url},
        {"SEARXNG_URL": "http://user:hunter2@127.0.0.1:1"},
    ):
        with pytest.raises((SkillRefused, SkillFailed)) as failure:
            await search(variables)
        assert "hunter2" not in str(failure.value)
