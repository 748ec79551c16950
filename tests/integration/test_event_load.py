"""A thousand events, some sent twice, to twenty subscribers with wildcards: every match is started once."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from holdfast.topics import Topics
from tests.support.api import Api
from tests.support.skill_folders import write_files
from tests.support.stack import Stack

EVENTS, DOUBLED = 1000, 200
PATTERNS = [
    *(f"load.r{number}.*.new" for number in range(8)),
    *(f"load.*.k{number}.#" for number in range(2)),
    *(f"load.r{number}.#.late" for number in range(8)),
    "load.*.*.*.very.#",
    "#.late.very.late",
]
TAILS = ["new", "old", "", "too.late", "late", "x.very", "x.y"]
STEP = "steps: [{name: note, program: 'result = 1', condition: 'false'}]"
"""Nothing but the start and the end of a task: how often it began is what this is about."""


def _topic(chance: random.Random) -> str:
    words = ["load", f"r{chance.randrange(20)}", f"k{chance.randrange(20)}", chance.choice(TAILS)]
    return ".".join(word for word in words if word)


def _batches(events: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_thousand_events_start_each_match_once(tmp_path: Path, say: Callable[[str], None]) -> None:
    flows: dict[str, str | bytes] = {
        f"flows/s{number}.yaml": f"name: s{number}\ncoordination: reactive\ntriggers: {{events: ['{pattern}']}}\n{STEP}\n"
        for number, pattern in enumerate(PATTERNS)
    }
    stack = Stack(tmp_path / "home", project=write_files(tmp_path / "project", {"holdfast.yaml": "", **flows}))
    api: Api | None = None
    try:
        stack.start_server()
        stack.start_worker().wait_up()
        api = Api(stack.home, stack.project, TEMPORAL_ADDRESS=f"127.0.0.1:{stack.port}").start()
        _thousand(api, say)
    finally:
        if api is not None:
            api.close()
        stack.close()


def _thousand(api: Api, say: Callable[[str], None]) -> None:
    chance = random.Random(8)
    cloud = {"specversion": "1.0", "source": "holdfast/load"}
    events = [{**cloud, "id": f"e{number}", "type": _topic(chance), "data": {"n": number}} for number in range(EVENTS)]
    sent = [*events, *chance.sample(events, DOUBLED)]
    chance.shuffle(sent)
    headers = {"content-type": "application/cloudevents-batch+json"}

    def post(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        response = api.http.post("/events", content=json.dumps(batch), headers=headers, timeout=120)
        assert response.status_code == 202, response.text
        found: list[dict[str, Any]] = response.json()["events"]
        return found

    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = [answer for batch in pool.map(post, _batches(sent, 20)) for answer in batch]
    taken = time.monotonic() - began
    assert sum(answer["duplicate"] for answer in answers) == DOUBLED

    wanted = _wanted(events)
    routed = _routed(api, began + 240)
    seconds = time.monotonic() - began
    assert {one["event_id"]: sorted(one["started"]) for one in routed} == wanted
    tasks = _tasks(api, sum(map(len, wanted.values())), began + 240)
    say(
        f"{EVENTS} events ({DOUBLED} sent twice) taken in {taken:.1f} s, routed to {len(tasks)} tasks in {seconds:.1f} s: "
        f"{EVENTS / seconds:.0f} events/s; all tasks over after {time.monotonic() - began:.1f} s"
    )
    begun = Counter((task["type"], task["input"]["n"]) for task in tasks)
    assert begun == {(kind, int(event[1:])): 1 for event, kinds in wanted.items() for kind in kinds}
    assert {task["state"] for task in tasks} == {"DONE"}


def _wanted(events: list[dict[str, Any]]) -> dict[str, list[str]]:
    topics: Topics[str] = Topics()
    for number, pattern in enumerate(PATTERNS):
        topics.add(pattern, f"workflow:s{number}")
    return {event["id"]: sorted(topics.match(event["type"])) for event in events}


def _routed(api: Api, deadline: float) -> list[dict[str, Any]]:
    while True:
        found: list[dict[str, Any]] = api.get("/events", limit=1000)["events"]
        if all(one["state"] == "routed" for one in found):
            return found
        assert time.monotonic() < deadline, Counter(one["state"] for one in found)
        time.sleep(1)


def _tasks(api: Api, count: int, deadline: float) -> list[dict[str, Any]]:
    """All tasks that there are, once they are over."""
    while True:
        open_ones = api.http.get("/tasks", params={"limit": 1, "status_filter": "pending"}).headers["x-total-count"]
        running = api.http.get("/tasks", params={"limit": 1, "status_filter": "running"}).headers["x-total-count"]
        if int(open_ones) + int(running) == 0:
            break
        assert time.monotonic() < deadline, (open_ones, running, count)
        time.sleep(1)
    found: list[dict[str, Any]] = []
    response = api.http.get("/tasks", params={"limit": 1000})
    while True:
        found += response.json()
        if "next" not in response.links:
            return found
        response = api.http.get(response.links["next"]["url"])
