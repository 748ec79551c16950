"""`flows`: what runs in steps."""

from typing import Any

from cli import screen
from cli.client import Client
from holdfast.config import Settings
from holdfast.errors import NotFound


def flows(settings: Settings, as_json: bool) -> None:
    with Client(settings) as client:
        found = client.flows()
    if as_json:
        screen.result(found)
    elif found:
        screen.rows([_row(flow) for flow in found])
    else:
        raise NotFound("no flows at all; see: holdfast doctor")


def show(settings: Settings, name: str, mermaid: bool, as_json: bool) -> None:
    with Client(settings) as client:
        found = client.flow(name)
    if as_json:
        screen.result(found)
    elif mermaid:
        screen.result(found["mermaid"].rstrip())
    else:
        _one(found["spec"])


def _row(flow: dict[str, Any]) -> tuple[str, ...]:
    state = "enabled" if flow["enabled"] else "disabled"
    count = len(flow["steps"])
    steps = f"{count} step{'s' * (count != 1)}"
    return (flow["name"], state, flow["coordination_type"], steps, screen.first_line(flow["description"]))


def _one(spec: dict[str, Any]) -> None:
    facts: list[tuple[str, ...]] = [("name", spec["name"]), ("runs", spec["coordination"]), ("origin", spec["origin"])]
    if spec["coordination"] == "iterative_refinement":
        facts.append(("until", f"{spec['convergence_check']}, at most {spec['max_iterations']} times"))
    if not spec["enabled"]:
        facts.append(("enabled", "false"))
    screen.rows(facts)
    if spec["description"]:
        screen.result(f"\n{spec['description']}")
    screen.result("\nsteps:")
    screen.rows([_step(step) for step in spec["steps"]])
    if spec["input_schema"]:
        screen.result("\ninput schema:")
        screen.result(spec["input_schema"])


def _step(step: dict[str, Any]) -> tuple[str, ...]:
    notes = [f"after {', '.join(step['depends_on'])}"] if step["depends_on"] else []
    notes += [f"if {step['condition']}"] if step["condition"] else []
    notes += [f"on failure: {step['on_failure']}"] if step["on_failure"] != "fail" else []
    return (f"  {step['name']}", f"{step['kind']} {step['who']}".strip(), "; ".join(notes))
