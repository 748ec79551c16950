"""What the stub answers: which reply a request gets, and how that looks on the wire."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from bench.task import Task

_VALUE = re.compile(r"""value['"\\]*: ?(\d+)""")
_PLAN = re.compile(r"\[\[STEP plan\]\]|planning step", re.IGNORECASE)
_CODE = re.compile(r"\[\[STEP code\]\]|implementation step", re.IGNORECASE)
_MERGE = re.compile(r"merging step", re.IGNORECASE)
_ANSWER = re.compile(r"ANSWER (\d+)")
_PIECE = 24


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: dict[str, str]


@dataclass(frozen=True)
class Reply:
    text: str | None
    calls: list[Call] = field(default_factory=list)


def decide(request: dict[str, Any], task: Task) -> Reply:
    """The sum that ends a run is made of the tool's answers in the request: one that was lost or changed fails it."""
    messages = request["messages"]
    answers = [_text(one["content"]) for one in messages if one["role"] == "tool"]
    tools = [one["function"]["name"] for one in request.get("tools") or []]
    if task.workload == "W1":
        return Reply(_smol("final_answer('ANSWER 42')\n") if task.dialect == "smol" else "ANSWER 42")
    if task.workload == "W5":
        return _delegating(task, tools, answers, _text(messages[-1]["content"]))
    if task.dialect == "loop":
        return _at_once(task, answers) if task.workload == "W3" else _next_of_loop(task, answers)
    if task.dialect == "smol":
        return Reply(_smol(program(task)))
    if "run_code" in tools:
        return _code_mode(task, answers)
    return _in_two_steps(task, _text(messages[-1]["content"]))


def _delegating(task: Task, tools: list[str], answers: list[str], last: str) -> Reply:
    """By calls of a tool, or by a plan, which has another form of the same."""
    if answers or _MERGE.search(last):
        return Reply(f"ANSWER {sum(int(one) for one in _ANSWER.findall(' '.join(answers) or last))}")
    if "delegate" in tools:
        return Reply(None, [Call(f"call_{at}", "delegate", {"task": one}) for at, one in enumerate(task.shares())])
    steps = [{"task": one, "delegateTo": "sub", "reason": "one item each"} for one in task.shares()]
    return Reply(json.dumps({"steps": steps, "reasoning": "the items have nothing to do with each other"}))


def _next_of_loop(task: Task, answers: list[str]) -> Reply:
    done = len(answers)
    return Reply(None, [_call(task, task.first + done)]) if done < task.n else _summed(answers)


def _at_once(task: Task, answers: list[str]) -> Reply:
    return _summed(answers) if answers else Reply(None, [_call(task, number) for number in range(task.n)])


def _call(task: Task, number: int) -> Call:
    return Call(f"call_{number}", task.tool, {"key": task.key(number)})


def _summed(answers: list[str]) -> Reply:
    return Reply(f"ANSWER {sum(int(_VALUE.findall(text)[0]) for text in answers)}")


def _code_mode(task: Task, answers: list[str]) -> Reply:
    if not answers:
        return Reply(None, [Call("call_code", "run_code", {"code": program(task)})])
    return Reply(f"ANSWER {_VALUE.findall(answers[-1])[-1]}")


def _in_two_steps(task: Task, last: str) -> Reply:
    """A plan, then a program; a request for both at once gets the program."""
    if _CODE.search(last) or not _PLAN.search(last):
        return Reply(f"```python\n{program(task)}```")
    skill = task.tool.replace("_", "-")
    return Reply(json.dumps({"selected_skills": [skill], "reasoning": "one program looks every item up"}))


def program(task: Task) -> str:
    """The program that looks all up, in the task's dialect."""
    key = f'key=f"{task.run}/{{i}}/{task.sleep_ms}"'
    match task.dialect:
        case "monty":
            loop = f"for i in range({task.n}):\n    r = await {task.tool}({key})\n    total += r['value']\n"
            return f"total = 0\n{loop}{{'value': total}}\n"
        case "gather":
            batch = f"[skills.{task.tool}({key}) for i in range(k, min(k + 10, {task.n}))]"
            loop = f"for k in range(0, {task.n}, 10):\n    for r in await asyncio.gather(*{batch}):\n"
            return f"import asyncio\ntotal = 0\n{loop}        total += r['value']\nresult = f'ANSWER {{total}}'\n"
    loop = f"for i in range({task.n}):\n    r = {task.tool}({key})\n    total += r['value']\n"
    end = "final_answer(f'ANSWER {total}')\n" if task.dialect == "smol" else "print(f'ANSWER {total}')\n"
    return f"total = 0\n{loop}{end}"


def _smol(code: str) -> str:
    return f"Thought: one program does it.\n<code>\n{code}</code>"


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def whole(reply: Reply, size_bytes: int) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = [_wire(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    body = {**_head("chat.completion"), "choices": [choice], "usage": _usage(reply, size_bytes)}
    return json.dumps(body).encode()


def streamed(reply: Reply, size_bytes: int) -> bytes:
    text = reply.text or ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[at : at + _PIECE]} for at in range(0, len(text), _PIECE)]
    deltas += [{"tool_calls": [{"index": at, **_wire(call)}]} for at, call in enumerate(reply.calls)]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": _finish(reply)})
    head = _head("chat.completion.chunk")
    events = [{**head, "choices": [choice]} for choice in choices]
    events.append({**head, "choices": [], "usage": _usage(reply, size_bytes)})
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "stub"}


def _wire(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def _usage(reply: Reply, size_bytes: int) -> dict[str, int]:
    said = reply.text or "".join(json.dumps(call.arguments) for call in reply.calls)
    prompt, completion = size_bytes // 4, max(1, len(said) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
