"""A turn as its events tell it: the steps that people see, what is under way, what the model says now."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cli.groups import Group, grouped
from holdfast.client import Event
from holdfast.contracts.task import Step

_KEPT = 8000
_ANSWER = re.compile(r'"answer"\s*:\s*"')
_STRING = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)
_SPEAKS = ("answer", "turn", "merge")
"""LLM calls in which the model speaks to the person. A plan is JSON, and may hold an answer."""

Data = dict[str, Any]


@dataclass
class Seen:
    """What was heard, up to now. `steps` are those that `settled` has not given yet; `reruns` counts how often the
    program was begun again because its sandbox or worker was lost."""

    phase: str = ""
    steps: list[Step] = field(default_factory=list)
    reruns: int = 0
    _speaker: str = ""
    _said: str = ""
    _phase_at: float | None = None

    @property
    def said(self) -> str:
        """What the model has said so far of its answer: deltas, which may be lost. The record is the truth."""
        return self._said if self._speaker in _SPEAKS else spoken(self._said)

    @property
    def groups(self) -> list[Group]:
        """The steps as they are shown: calls of one skill that follow each other are one line."""
        return grouped(self.steps)

    def hear(self, event: Event) -> None:
        """Take one event in; kinds that are not known are left out."""
        match event.name:
            case "status":
                self._status(event.data)
            case "delta":
                self._delta(event.data)
            case "plan":
                self._plan(event.data)
            case "usage":
                self._usage(event.data)
            case "program":
                self._program(event.data)
            case "attempt":
                self.reruns += event.data["state"] == "started" and event.data["attempt"] > 1
            case "call":
                self._call(event.data)
            case "step":
                self._child(event.data)

    def settled(self, is_over: bool) -> list[Group]:
        """Groups from the front to which nothing can be added any more; each is given once."""
        groups = self.groups
        count = 0
        for group in groups:
            if not is_over and not (group.is_complete and not (group is groups[-1] and _can_grow(group))):
                break
            count += 1
        self.steps = [step for group in groups[count:] for step in group.steps]
        return groups[:count]

    # events

    def _status(self, data: Data) -> None:
        self.phase, self._phase_at, self._said = str(data.get("currentStep", "")), data.get("at"), ""

    def _delta(self, data: Data) -> None:
        if data["step"] != self._speaker:
            self._speaker, self._said = data["step"], ""
        self._said = (self._said + data["text"])[-_KEPT:]

    def _plan(self, data: Data) -> None:
        if data["state"] == "started":
            self.steps.append(Step(kind="llm", name="plan", state="open", detail="…", started_at=data["at"]))
            return
        ended = {"state": data["state"], "ended_at": data["at"], "detail": _planned(data), "error": data.get("error")}
        self._change(lambda step: step.name == "plan" and step.state == "open", ended)

    def _usage(self, data: Data) -> None:
        name, took = data["step"], {"model": f"{data['provider']}:{data['model']}", "cost": data.get("cost")}
        if name == "plan":
            self._change(lambda step: step.name == "plan", took)
        elif name != "call":
            detail = "it writes a program" if name == "program" else ""
            step = Step(kind="llm", name=name, state="done", detail=detail, ended_at=data["at"])
            self.steps.append(step.model_copy(update=took | {"started_at": self._phase_at}))

    def _program(self, data: Data) -> None:
        why = str(data.get("problems") or data.get("why") or "").strip().splitlines()
        detail = "; ".join([f"{data['lines']} lines", *why[-1:]])
        self.steps.append(Step(kind="program", name=f"version {data['version']}", state="done", detail=detail))

    def _call(self, data: Data) -> None:
        known = any(step.id == data["id"] for step in self.steps)
        if not known:
            detail = data["summary"].removeprefix(f"{data['skill']}(").removesuffix(")")
            began = data["at"] - (data.get("ms") or 0) / 1000
            step = Step(kind="call", name=data["skill"], id=data["id"], state="pending", detail=detail)
            self.steps.append(step.model_copy(update={"started_at": began}))
        if data["state"] != "started":
            state = "failed" if data["state"] == "failed" else "answered"
            ended = {"state": state, "ended_at": data["at"], "error": data.get("error")}
            self._change(lambda step: step.id == data["id"], ended)

    def _child(self, data: Data) -> None:
        child = data.get("child") or data["name"]
        if not any(step.kind == "child" and step.id == child for step in self.steps):
            who = data.get("who") or data.get("kind", "")
            step = Step(kind="child", name=data["name"], id=child, state="running", detail=who, started_at=data["at"])
            self.steps.append(step)
        if data["state"] != "started":
            why = data.get("error") or data.get("reason") or None
            ended = {"state": data["state"], "ended_at": data["at"], "error": why}
            self._change(lambda step: step.kind == "child" and step.id == child, ended)

    def _change(self, fits: Callable[[Step], bool], change: Data) -> None:
        """Change the newest step that fits, if there is one."""
        place = next((n for n in range(len(self.steps) - 1, -1, -1) if fits(self.steps[n])), None)
        if place is not None:
            self.steps[place] = self.steps[place].model_copy(update=change)


def spoken(plan: str) -> str:
    """The answer in a plan that is still being written: `{"answer": "Hel` says `Hel`."""
    found = _ANSWER.search(plan)
    text = _STRING.match(plan, found.end()) if found else None
    try:
        return str(json.loads(f'"{text[0]}"', strict=False)) if text else ""
    except ValueError:
        return ""


def _can_grow(group: Group) -> bool:
    """A further call may join its like; what a plan took is told behind its end."""
    return group.kind == "call" or (group.kind == "llm" and group.steps[0].model is None)


def _planned(data: Data) -> str:
    skills = data.get("skills") or []
    words = {
        "skills": f"{len(skills)} skills: {', '.join(skills)}" if len(skills) > 1 else "".join(skills),
        "answer": "it answers",
        "ask": "it asks first",
        "steps": "other agents do its steps",
        "invalid": "no plan; asked again",
    }
    return words.get(data.get("decision") or "", "plan")
