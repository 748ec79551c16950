"""What a task leaves in Temporal: counts that must not grow unnoticed, and a story that people can read."""

from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from cli.proof import proof
from tests.support.stack import Stack

PAST_A_SECOND = "skills.echo(i=-1, ms=1100)\n"
"""A task that has run for a second is recorded as running, once: some ten events more, which are not the calls'."""
SEQUENTIAL = PAST_A_SECOND + "for i in range({n}): skills.echo(i=i)"
GATHER = "await skills.echo(i=-1, ms=1100)\nimport asyncio\nfor k in range({k}):\n    await asyncio.gather(*[skills.echo(i=k * 10 + j) for j in range(10)])"


async def events(stack: Stack, client: Client, source: str) -> list[Any]:
    handle = await stack.start(client, source)
    await handle.result()
    return [event async for event in handle.fetch_history_events()]


def count(found: list[Any], kind: str) -> int:
    return sum(event.event_type == EventType.Value(f"EVENT_TYPE_{kind}") for event in found)


async def test_a_lone_call_costs_eleven_events_and_one_update(stack: Stack, client: Client) -> None:
    few, many = [await events(stack, client, SEQUENTIAL.format(n=n)) for n in (5, 25)]
    assert (len(many) - len(few)) / 20 <= 11.0
    assert (
        count(many, "WORKFLOW_EXECUTION_UPDATE_ACCEPTED") - count(few, "WORKFLOW_EXECUTION_UPDATE_ACCEPTED")
    ) / 20 == 1.0


async def test_a_call_in_a_gather_of_ten_costs_less_than_seven_events(stack: Stack, client: Client) -> None:
    few, many = [await events(stack, client, GATHER.format(k=k)) for k in (1, 6)]
    assert (len(many) - len(few)) / 50 <= 7.0
    updates = [count(found, "WORKFLOW_EXECUTION_UPDATE_ACCEPTED") for found in (few, many)]
    assert (updates[1] - updates[0]) / 50 <= 0.6


async def test_a_call_stores_less_than_three_kilobytes_of_history(stack: Stack, client: Client) -> None:
    source = "for i in range({n}): skills.big(i=i, size=2000)"
    few, many = [await events(stack, client, source.format(n=n)) for n in (5, 25)]
    size = [sum(event.ByteSize() for event in found) for found in (few, many)]
    assert (size[1] - size[0]) / 20 <= 3000


async def test_every_activity_has_a_summary_that_tells_the_story(stack: Stack, client: Client) -> None:
    handle = await stack.start(client, "skills.echo(i=1, tag='näh')\nskills.echo(i=2)")
    await handle.result()
    scheduled = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    summaries = [
        await client.data_converter.decode([event.user_metadata.summary], [str])
        async for event in handle.fetch_history_events()
        if event.event_type == scheduled
    ]
    assert all(summaries) and ["echo(i=1, tag='näh')"] in summaries and ["echo(i=2)"] in summaries
    assert ["program version 1, generation 1"] in summaries
    details = await handle.query("__temporal_workflow_metadata")
    assert "2 of 2 calls answered" in str(details)


async def test_a_light_call_costs_six_events_and_no_activity_task(stack: Stack, client: Client) -> None:
    source = PAST_A_SECOND + "for i in range({n}): skills.glance(i=i)"
    few, many = [await events(stack, client, source.format(n=n)) for n in (5, 25)]
    assert (len(many) - len(few)) / 20 <= 6.0
    assert count(many, "ACTIVITY_TASK_SCHEDULED") == 3, "the program, the first call, the record"


async def test_light_calls_are_journalled_retried_and_caught_like_others(stack: Stack, client: Client) -> None:
    source = """
try:
    skills.glance(i=1, fail=True)
except SkillError as exc:
    result = [str(exc), skills.glance(i=2)["i"]]
"""
    handle = await stack.start(client, source)
    assert stack.value(await handle.result()) == ["skill 'glance' raised ValueError: not seen (skill.py:18)", 2]
    assert stack.begins(handle).total() == 3, "the one that fails is tried once more"
    journal = await proof(client, handle.id)
    assert (journal.holds, journal.calls, sum(journal.failed.values()), journal.begun) == (True, 2, 1, 3)
