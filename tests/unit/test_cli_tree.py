"""How the steps of a task are drawn."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cli import tree
from cli.groups import grouped, line
from holdfast.contracts.task import Step, Subtask

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def subtask(name: str, state: str, who: str = "research", **fields: Any) -> Subtask:
    times = {} if state in ("PENDING", "SKIPPED") else {"created_at": BEGAN, "updated_at": BEGAN + timedelta(seconds=2)}
    own = {"id": f"t/{name}", "name": name, "agent_type": who, "kind": "agent", "status": "done", "state": state}
    return Subtask.model_validate({**own, **times, **fields})


def test_steps_are_drawn_as_a_tree_with_how_each_stands() -> None:
    draft = subtask("draft", "DONE", input_tokens=10, total_cost=0.01)
    inner = subtask("polish", "DONE", who="inner", kind="flow")
    failed = subtask("review", "ERROR", iteration=2, error="Traceback (lines of the program):\n  x\nno model")
    skipped = subtask("detail", "SKIPPED", reason="its condition is false: x")
    deep = [subtask("only", "DONE")]
    drawn = tree.lines([draft, inner, failed, skipped], lambda one: deep if one.kind == "flow" else [])
    assert drawn[0] == "steps  2 of 4 done, 1 failed, 1 skipped"
    assert [text.split("  ")[0] for text in drawn[1:4]] == ["├─ draft", "├─ polish", "│"]
    assert "└─ only" in drawn[3]
    assert [part.strip() for part in drawn[1].split("  ") if part][1:] == ["agent research", "DONE", "2.0s", "$0.010"]
    assert drawn[4].startswith("├─ review (round 2)") and drawn[4].endswith("no model")
    assert drawn[5].startswith("└─ detail") and drawn[5].endswith("its condition is false: x")


def test_a_task_without_steps_has_no_tree() -> None:
    assert tree.lines([]) == []


def test_a_child_has_a_line_of_its_own_among_the_steps() -> None:
    steps = [
        Step(kind="child", name=name, state=state, detail="agent research", started_at=1.0, ended_at=ended, cost=0.02)
        for name, state, ended in (("draft", "done", 3.0), ("review", "running", None))
    ]
    told = [line(group, 5.0) for group in grouped(steps)]
    assert told[0].split("  ")[2:] and "draft: agent research" in told[0] and told[0].endswith("2.0s  $0.020")
    assert "review: agent research; running" in told[1]
