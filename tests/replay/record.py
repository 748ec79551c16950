"""Records the histories that test_replay.py replays: `python -m tests.replay.record`.

Until 0.1.0 they are recorded anew in the commit that changes a workflow; from then on `workflow.patched` keeps
the old ones valid.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from holdfast.contracts.approval import ApprovalRule
from holdfast.contracts.backlog import BACKLOG_WORKFLOW, WorkSpec
from holdfast.contracts.base import Value
from holdfast.contracts.begin import begin_of
from holdfast.contracts.budget import Budget, TopUp
from holdfast.contracts.event import Event, EventJob, Sink
from holdfast.contracts.flow import AskSpec, FlowSpec, StepRetry, StepSpec
from holdfast.contracts.milestone import StatusChanged
from holdfast.contracts.program import PROGRAM_WORKFLOW, QUEUE_AGENTS, Ask
from holdfast.contracts.question import AnswerMessage, Question
from holdfast.contracts.schedule import SCHEDULED_WORKFLOW, ScheduledRun, run_id
from holdfast.contracts.session import SessionRef, SessionSettings, SessionView
from holdfast.contracts.skill import SkillFacts
from holdfast.contracts.work import TaskSpec
from holdfast.conversing import message_of
from holdfast.ids import call_hash, call_id, new_trace_id, task_id_from_key
from holdfast.temporal.events import begin_event
from holdfast.temporal.sessions import send
from store.backlog import Backlog
from store.database import Database
from tests.support.agents import begin, models, task_spec
from tests.support.authors import plans, says
from tests.support.flows import begin as begin_flow
from tests.support.flows import echo, flow, flow_task, program
from tests.support.histories import milestones
from tests.support.stack import Stack, progress, until
from tests.support.stub_llm import Reply, StubLlm, calling
from tests.support.stub_wires import Use
from tests.support.webhooks import Receiver

FOLDER = Path(__file__).parent
THINKING = FOLDER.parent / "support" / "thinking"
ASKS = "a = skills.echo(i=1)\nq = skills.ask(text='ok?')\nresult = [a['i'], q]"
BREAKS = "a = skills.echo(i=1)\n1/0"
GIVES_UP = "import asyncio\ntry:\n    await asyncio.wait_for(skills.ask(text='anyone?'), 0.2)\nexcept TimeoutError:\n    result = 'gave up'"
GRAPH = flow(
    echo("left", 1),
    echo("right", 2, ms=300),
    StepSpec(name="which", kind="ask", ask=AskSpec(text="red or blue?"), depends_on=["left", "right"]),
    program("join", "result = inputs", input="${steps.which.output}", depends_on=["which"]),
    echo("never", 3, condition="iteration > 5", depends_on=["join"]),
)
LOOP = flow(
    echo("draft", "${iteration}"),
    program("review", "result = {'approved': inputs > 2}", input="${iteration}"),
    coordination="iterative_refinement",
)
BROKEN = flow(
    echo("slow", 1, ms=8000),
    program("fails", "1/0", retry=StepRetry(max_retries=1, delay_seconds=0.1), on_failure="compensate:undo"),
    echo("undo", 2),
)
MANY = "import asyncio\nfor k in range(6):\n    await asyncio.gather(*[skills.echo(i=k * 5 + j) for j in range(5)])"

Handle = WorkflowHandle[Any, Any]


async def answered(stack: Stack, client: Client, source: str, value: Any, **fields: Any) -> Handle:
    handle = await stack.start(client, source, **fields)

    async def asked() -> Any:
        seen = await progress(handle)
        return seen.state == "WAITING" and not seen.box and await _says_that_it_waits(handle) and seen.questions

    [question] = await until(asked)
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value=value))
    await handle.result()
    return handle


async def cancelled(stack: Stack, client: Client) -> Handle:
    handle = await stack.start(client, "skills.echo(i=1, ms=8000)")
    await until(lambda: stack.begins(handle))
    await handle.cancel()
    await _over(handle)
    return handle


async def ended(stack: Stack, client: Client, source: str, **fields: Any) -> Handle:
    handle = await stack.start(client, source, **fields)
    await _over(handle)
    return handle


async def _over(handle: Handle) -> None:
    try:
        await handle.result()
    except WorkflowFailureError:
        return


async def asked(stack: Stack, client: Client, stub: StubLlm, text: str, answer: str | None, **fields: Any) -> Handle:
    """A task of an agent, whose question is answered, or which is cancelled when it asks."""
    handle = await begin(client, task_spec(stack, text, models(stub), **fields))

    async def waits() -> Any:
        seen = await progress(handle)
        open_ones = [one for one in seen.questions if one.state == "open"]
        return seen.state == "WAITING" and await _says_that_it_waits(handle) and open_ones

    [question] = await until(waits)
    if answer is None:
        await handle.cancel()
    else:
        await handle.execute_update("answer", AnswerMessage(question_id=question.id, value=answer))
    await _over(handle)
    return handle


async def _says_that_it_waits(handle: Handle) -> bool:
    """Whether watchers read it in the history: on a loaded machine the answer could come before."""
    told = await milestones(list((await handle.fetch_history()).events))
    return any(isinstance(one, StatusChanged) and one.state == "WAITING" for one in told)


async def told(stack: Stack, client: Client, stub: StubLlm, text: str, **fields: Any) -> Handle:
    handle = await begin(client, task_spec(stack, text, models(stub), **fields))
    await _over(handle)
    return handle


async def record_tasks(stack: Stack, stub: StubLlm) -> None:
    """One history for each way through TaskWorkflow."""
    client = await stack.client()
    says(stub, "Which of them?", '{"ask": "red or blue?"}')
    says(stub, "The person's answer: red", '{"answer": "red it is"}')
    says(stub, "Paris", "Paris")
    says(stub, "no plan", "I do not know")
    first, mended = "a = skills.judge(word='x')\nask(text='ok?')\n1/0", "result = skills.rhyme(word='x')"
    plans(stub, first, mended, skills='["judge", "rhyme", "ask"]')
    stub.rule("RHYME", '{"rhyme": "y"}')
    stories = {
        "task-direct": await told(stack, client, stub, "Paris?", strategy="direct"),
        "task-plan-asks": await asked(stack, client, stub, "Which of them?", "red"),
        "task-program": await asked(stack, client, stub, "mend it", "yes"),
        "task-question": await asked(stack, client, stub, "ask once", "no", limits={"max_repairs": 0}),
        "task-cancelled": await asked(stack, client, stub, "stop", None),
        "task-error": await told(stack, client, stub, "no plan"),
    }
    for name, handle in stories.items():
        await _save(client, handle, name)
    child = client.get_workflow_handle(f"{stories['task-program'].id}/program")
    _write("task-program-child", (await child.fetch_history()).to_json_dict())
    await _save(client, await ended(stack, client, "result = skills.judge(word='x')", models=models(stub)), "hybrid")
    arguments = {"word": "moon"}
    one = call_id(call_hash("program", "rhyme", arguments), 1)
    call = Ask(id=one, skill="rhyme", arguments=Value(inline=arguments))
    alone = await ended(stack, client, "", type="skill:rhyme", call=call, models=models(stub))
    await _save(client, alone, "skill-alone")


async def record_loops(stack: Stack, thinking: Stack, stub: StubLlm) -> None:
    """Loops that continue as new, ask, are paused, cancelled, and call skills that ask the model."""
    client, own = await stack.client(), await thinking.client()
    echo, glance = Use("echo", {"i": 1}), Use("glance", {"i": 2})
    ask = Use("ask", {"text": "ok?"})
    turns("loop on", stub, calling(echo, glance), calling(glance, Use("boom", {"i": 3})), calling(echo, ask), "Done.")
    turns("loop stop", stub, calling(echo))
    turns("loop cancel", stub, calling(Use("echo", {"i": 1, "ms": 9000}), ask))
    stub.rule("RHYME", '{"rhyme": "y"}')
    turns("loop think", stub, calling(Use("judge", {"word": "x"}), Use("rhyme", {"word": "x"})), "Done.")
    fields: dict[str, Any] = {"strategy": "loop", "skills": ["echo", "glance", "ask"]}
    tuning, steps = {"bound_events": 20}, {"max_steps": 2}
    await _save(client, await asked(stack, client, stub, "loop on", "yes", tuning=tuning, **fields), "loop")
    await _save(client, await asked(stack, client, stub, "loop stop", "stop", **steps, **fields), "loop-stopped")
    await _save(client, await cut_short(stack, client, stub, "loop cancel", **fields), "loop-cancelled")
    await _save(own, await told(thinking, own, stub, "loop think", strategy="loop"), "loop-hybrid")


def turns(text: str, stub: StubLlm, *replies: Reply) -> None:
    """A reply a turn; the last one for ever."""
    for number, reply in enumerate(replies):
        times = 1 if number < len(replies) - 1 else None
        stub.rule(text, reply, times=times)


async def cut_short(stack: Stack, client: Client, stub: StubLlm, text: str, **fields: Any) -> Handle:
    handle = await begin(client, task_spec(stack, text, models(stub), **fields))
    await until(lambda: stack.begins(handle))
    await handle.cancel()
    await _over(handle)
    return handle


async def flowed(stack: Stack, client: Client, what: FlowSpec, **fields: Any) -> Handle:
    """A flow, whose question is answered."""
    handle = await begin_flow(client, flow_task(stack, what, {}, **fields))
    if any(step.ask for step in what.steps):

        async def waits() -> Any:
            return await _says_that_it_waits(handle) and (await progress(handle)).questions

        [question] = await until(waits)
        await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="red"))
    await _over(handle)
    return handle


async def record_flows(stack: Stack) -> None:
    """One history for each way through FlowWorkflow."""
    client = await stack.client()
    stories = {
        "flow-graph": await flowed(stack, client, GRAPH),
        "flow-rounds": await flowed(stack, client, LOOP, tuning={"bound_events": 40}),
        "flow-broken": await flowed(stack, client, BROKEN),
    }
    for name, handle in stories.items():
        await _save(client, handle, name)


async def record_delegation(stack: Stack, stub: StubLlm) -> None:
    """A master with two children, one of which fails and is planned anew; and a program that calls an agent, renewed."""
    client = await stack.client()
    steps = '[{"task": "Count", "delegateTo": "code-reviewer"}, {"task": "Fail", "delegateTo": "data-analyst"}]'
    anew = '{"steps": [{"task": "Count again", "delegateTo": "code-reviewer", "after": [1]}]}'
    says(stub, "Delegation step", f'{{"steps": {steps}, "reasoning": "so"}}')
    says(stub, "These steps failed", anew)
    says(stub, "Merging step", "counted")
    stub.rule(lambda request: "Fail" in request.text and "Planning" in request.last, '{"nothing": 1}')
    says(stub, "Planning step", '{"answer": "two"}', delay_s=1)
    asked_of = task_spec(stack, "count", models(stub), skills=[], strategy="delegate")
    brief = asked_of.brief.model_copy(update={"subagents": ["code-reviewer", "data-analyst"]})
    await _recorded(client, asked_of.model_copy(update={"brief": brief}), "delegate")
    program = "result = await skills.code_reviewer(task='Count')"
    handle = await stack.start(client, program, skills=["code-reviewer"], models=models(stub), tuning=_RENEWED)
    await _over(handle)
    await _save(client, handle, "called-agent")


async def record_delegation_with_a_word(stack: Stack, stub: StubLlm) -> None:
    """Steps of a master that need a word: by its rule, by one of an agent above; one is denied, and planned anew."""
    client = await stack.client()
    steps = '[{"task": "Count", "delegateTo": "code-reviewer"}, {"task": "Sum", "delegateTo": "code-reviewer"}]'
    says(stub, "Delegation step", f'{{"steps": {steps}}}')
    says(stub, "These steps failed", '{"answer": "that is all"}')
    says(stub, "Merging step", "counted")
    says(stub, "Planning step", '{"answer": "two"}')
    rules = [ApprovalRule(when="arguments.task == 'Count'")]
    team = [
        SkillFacts(name="code-reviewer", kind="agent", effect="once", approval=rules, above={"chief": [ApprovalRule()]})
    ]
    spec = task_spec(stack, "count", models(stub), skills=[], strategy="delegate", team=team, above=["chief"])
    brief = spec.brief.model_copy(update={"subagents": ["code-reviewer"]})
    handle = await begin(client, spec.model_copy(update={"brief": brief}))

    async def asks() -> list[Question]:
        found = [one for one in (await progress(handle)).questions if one.state == "open"]
        return found if len(found) == 2 else []

    for question, word in zip(await until(asks), ("approve", "deny"), strict=True):
        await handle.execute_update("answer", AnswerMessage(question_id=question.id, value=word))
    await _over(handle)
    await _save(client, handle, "delegate-approval")


_RENEWED = {"bound_events": 20, "park_after_seconds": 0.1}


async def _recorded(client: Client, spec: TaskSpec, name: str) -> None:
    handle = await begin(client, spec)
    await _over(handle)
    await _save(client, handle, name)


async def record_budgets(stack: Stack, stub: StubLlm) -> None:
    """A task whose program waits for a top-up, twice, and is then given up."""
    client = await stack.client()
    plans(stub, "result = [skills.rhyme(word=str(i)) for i in range(5)]", skills='["rhyme"]')
    stub.rule("RHYME", '{"rhyme": "y"}')
    budget = Budget(calls=2, tokens=1_000_000)
    spec = task_spec(stack, "rhyme", models(stub), skills=["rhyme"], budget=budget, is_budgeted=True)
    handle = await begin(client, spec)
    await _asks_for_more(handle, "budget.1")
    await handle.execute_update("top_up", TopUp(add=Budget(calls=1)))
    await _asks_for_more(handle, "budget.2")
    await handle.execute_update("answer", AnswerMessage(question_id="budget.2", value="stop"))
    await _over(handle)
    await _save(client, handle, "budget")
    child = client.get_workflow_handle(f"{handle.id}/program")
    _write("budget-child", (await child.fetch_history()).to_json_dict())


async def _asks_for_more(handle: Handle, question: str) -> None:
    async def waits() -> bool:
        seen = await progress(handle)
        return seen.state == "WAITING" and any(one.id == question for one in seen.questions)

    await until(waits, 60)


async def record(stack: Stack) -> None:
    """One history for each way through the workflow; of a chain of runs, the first and the second."""
    client = await stack.client()
    stories = {
        "plain": await ended(stack, client, "result = skills.echo(i=1)['i']"),
        "question": await answered(stack, client, ASKS, "yes"),
        "repair": await answered(stack, client, BREAKS, "result = skills.echo(i=1)['i']", on_error="ask"),
        "gave-up": await ended(stack, client, GIVES_UP),
        "error": await ended(stack, client, "1/0"),
        "cancelled": await cancelled(stack, client),
        "timed-out": await ended(stack, client, "skills.ask(text='ever?')", limits={"task_seconds": 1.0}),
        "continued": await ended(stack, client, MANY, tuning={"bound_events": 60}),
    }
    for name, handle in stories.items():
        await _save(client, handle, name)


async def record_backlog(stack: Stack) -> None:
    """An order to work that goes through two items, until none is open."""
    client = await stack.client()
    database = await Database.open(stack.settings)
    work = WorkSpec(session_id="replayed", trace_id=new_trace_id())
    try:
        for number, text in enumerate(("What is 2 + 2?", "What is 2 + 3?")):
            await Backlog(database).add(work.tenant, work.session_id, f"{number:016x}", text)
    finally:
        await database.close()
    handle = await client.start_workflow(BACKLOG_WORKFLOW, work, id=work.workflow_id, task_queue=QUEUE_AGENTS)
    await _over(handle)
    await _save(client, handle, "backlog")


async def record_schedules(stack: Stack) -> None:
    """A time of a schedule: its task ends, fails, is refused, is cancelled, is a conversation's turn."""
    client = await stack.client()
    asks = "skills.ask(text='ever?')"
    requests: dict[str, dict[str, Any]] = {
        "scheduled": {"type": "skill:echo", "input": {"i": 1}},
        "scheduled-failed": {"type": "program", "program": "1/0"},
        "scheduled-refused": {"type": "agent:nobody", "input": "x"},
        "scheduled-cancelled": {"type": "program", "program": asks},
        "scheduled-turn": {"type": "skill:echo", "input": {"i": 1}, "session_id": "replayed"},
    }
    for name, request in requests.items():
        run = ScheduledRun(name=name, request=request)
        key = f"{run_id(run.tenant, name)}-2027-01-01T00:00:00Z"
        handle = await client.start_workflow(SCHEDULED_WORKFLOW, run, id=key, task_queue=QUEUE_AGENTS)
        if name == "scheduled-cancelled":
            child = client.get_workflow_handle(f"default/{task_id_from_key('default', key)}")
            await until(lambda child=child: _is_there(child))
            await handle.cancel()
        await _over(handle)
        await _save(client, handle, name)


async def _is_there(handle: Handle) -> bool:
    with contextlib.suppress(RPCError):
        return bool((await progress(handle)).questions)
    return False


async def record_sessions(stack: Stack, stub: StubLlm) -> None:
    """A conversation: a turn, two that wait, one that asks, one that fails; it continues as new, and falls asleep."""
    client = await stack.client()
    says(stub, "Which of them?", '{"ask": "red or blue?"}')
    says(stub, "The person's answer: red", '{"answer": "red it is"}')
    says(stub, "no plan", "I do not know")
    says(stub, "Paris", "Paris", delay_s=0.5)
    ref = SessionRef(session_id="replayed", trace_id=new_trace_id())
    settings = SessionSettings(idle_seconds=3.0, bound_events=60)
    texts = ("Paris?", "Paris again?", "Which of them?", "no plan", "Paris at last?")
    turns = []
    for text in texts:
        spec = task_spec(stack, text, models(stub), strategy="direct" if "Paris" in text else "ptc")
        fields = {"type": spec.type, "summary": text, "catalogue": spec.brief.catalogue, "session_id": ref.session_id}
        begins = begin_of(spec, task=spec.brief.task, **fields)
        await send(client, ref, settings, message_of(begins))
        turns.append(begins.task.workflow_id)
    handle = client.get_workflow_handle(ref.workflow_id)
    first = (await handle.describe()).run_id

    async def asks() -> list[Question]:
        return (await handle.query("session", result_type=SessionView)).questions

    [question] = await until(asks)
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value="red"))

    async def sleeps() -> bool:
        return (await handle.describe()).status == WorkflowExecutionStatus.COMPLETED

    await until(sleeps)
    await _save(client, client.get_workflow_handle(ref.workflow_id, first_execution_run_id=first), "session")
    asked = client.get_workflow_handle(turns[2])
    _write("session-turn", (await asked.fetch_history()).to_json_dict())


async def record_events(stack: Stack) -> None:
    """An event that nobody hears but two addresses: one takes it when it is asked again, the other refuses it."""
    client = await stack.client()
    with Receiver() as receiver:
        receiver.answers.update({"/late": [503], "/never": [410]})
        sinks = [Sink(url=f"{receiver.url}/late"), Sink(url=f"{receiver.url}/never")]
        event = Event(id="recorded", topic="shop.order.paid", data={"n": 1}, at=time.time(), trace_id=new_trace_id())
        await begin_event(client, EventJob(event=event, sinks=sinks))
        handle = client.get_workflow_handle(event.workflow_id)
        await _over(handle)
    _write("event", (await handle.fetch_history()).to_json_dict())


async def record_approvals(stack: Stack) -> None:
    """Calls that need a word: by a rule that is judged, by a grant, one that nobody answers; a question escalates."""
    client = await stack.client()
    source = (
        "a = [skills.echo(i=i)['i'] for i in range(3)]\ntry:\n    skills.flaky(i=9)\nexcept SkillError as exc:\n"
        "    a.append(exc.type)\ntry:\n    skills.ask(text='?', deadline_seconds=0.5, on_timeout='escalate')\n"
        "except SkillError as exc:\n    a.append(exc.type)\nresult = a"
    )
    spec = stack.spec(source)
    rules = {
        "echo": [ApprovalRule(when="arguments.i > 0")],
        "flaky": [ApprovalRule(deadline_seconds=0.5)],
    }
    skills = [facts.model_copy(update={"approval": rules.get(facts.name, [])}) for facts in spec.skills]
    spec = spec.model_copy(update={"skills": skills})
    handle = await client.start_workflow(PROGRAM_WORKFLOW, spec, id=spec.task.workflow_id, task_queue=QUEUE_AGENTS)

    async def asks() -> list[Question]:
        return [one for one in (await progress(handle)).questions if one.state == "open"]

    [question] = await until(asks)
    value = {"decision": "approve", "grant": {"uses": 1, "when": "arguments.i == 2"}}
    await handle.execute_update("answer", AnswerMessage(question_id=question.id, value=value))
    await _over(handle)
    await _save(client, handle, "approvals")


async def _save(client: Client, handle: Handle, name: str) -> None:
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    history = await first.fetch_history()
    _write(name, history.to_json_dict())
    following = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    if following:
        _write(
            f"{name}-2", (await client.get_workflow_handle(handle.id, run_id=following).fetch_history()).to_json_dict()
        )


def _write(name: str, history: dict[str, Any]) -> None:
    _anonymous(history)
    (FOLDER / f"{name}.json").write_text(json.dumps(history, indent=1, sort_keys=True) + "\n")


def _anonymous(part: Any) -> None:
    """No name of the machine that recorded it, and no path of it: those stand in stack traces."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if key == "identity":
            part[key] = "holdfast@recorder"
        elif key == "stackTrace":
            part[key] = ""
        elif isinstance(value, (dict, list)):
            _anonymous(value)


def main() -> None:
    stack = Stack(Path(tempfile.mkdtemp()) / "home")
    thinking = Stack(Path(tempfile.mkdtemp()) / "home", project=THINKING)
    try:
        for one in (stack, thinking):
            one.start_server()
            one.start_worker().wait_up()
        asyncio.run(record(stack))
        asyncio.run(record_flows(stack))
        with StubLlm() as stub:
            asyncio.run(record_tasks(thinking, stub))
        with StubLlm() as stub:
            asyncio.run(record_loops(stack, thinking, stub))
        with StubLlm() as stub:
            asyncio.run(record_budgets(thinking, stub))
        with StubLlm() as stub:
            asyncio.run(record_delegation(stack, stub))
        with StubLlm() as stub:
            asyncio.run(record_delegation_with_a_word(stack, stub))
        asyncio.run(record_backlog(stack))
        with StubLlm() as stub:
            asyncio.run(record_sessions(thinking, stub))
        asyncio.run(record_schedules(stack))
        asyncio.run(record_events(stack))
        asyncio.run(record_approvals(stack))
    finally:
        stack.close()
        thinking.close()


if __name__ == "__main__":
    main()
    sys.exit(0)
