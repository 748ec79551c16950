"""Flows as Mermaid. The texts were parsed by Mermaid itself when the escapes were chosen; here by its rules for lines."""

import re
from pathlib import Path

import pytest

from holdfast.catalogue import BUILTIN, load
from holdfast.contracts.flow import AskSpec, FlowSpec, StepSpec
from holdfast.mermaid import mermaid

_TEXT = r"[^\"<>`\n]*(?:<br/>[^\"<>`\n]*)?"
_NODE = re.compile(
    rf"    (\w+)(?:\[\"{_TEXT}\"\]|\(\"{_TEXT}\"\)|\[\[\"{_TEXT}\"\]\]|\[/\"{_TEXT}\"/\]|\{{\{{\"{_TEXT}\"\}}\}}|\(\[\"?{_TEXT}\"?\]\))"
)
_ARROW = re.compile(rf"    (\w+) -\.?->(?:\|\"{_TEXT}\"\|)? (\w+)")


def read(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Nodes and arrows. Every line is one of the two, and an arrow joins nodes that are there."""
    head, *lines = text.splitlines()
    assert head == "flowchart TD"
    nodes = [match[1] for line in lines if (match := _NODE.fullmatch(line))]
    arrows = [(match[1], match[2]) for line in lines if (match := _ARROW.fullmatch(line))]
    assert len(nodes) + len(arrows) == len(lines), text
    assert {end for arrow in arrows for end in arrow} <= set(nodes)
    return nodes, arrows


def test_every_built_in_flow_is_drawn_from_its_beginning_to_its_end() -> None:
    for flow in load(Path("none"), BUILTIN).catalogue.flows.values():
        nodes, arrows = read(mermaid(flow))
        assert len(nodes) == len(flow.steps) + 2
        reached, ahead = {"begin"}, ["begin"]
        while ahead:
            start = ahead.pop()
            new = {end for begin, end in arrows if begin == start} - reached
            reached |= new
            ahead += new
        assert reached == set(nodes)


def test_a_join_a_condition_a_loop_and_a_compensation_are_arrows() -> None:
    steps = [
        StepSpec(name="a", kind="agent", who="x"),
        StepSpec(name="b", kind="skill", who="y", on_failure="compensate:u"),
        StepSpec(name="j", kind="program", program="1", depends_on=["a", "b"], condition="input.n < 3"),
        StepSpec(name="u", kind="flow", who="z"),
    ]
    text = mermaid(FlowSpec(name="f", coordination="dag", steps=steps))
    assert '    s1 -->|"input.n #lt; 3"| s2' in text.splitlines()
    assert '    s1 -.->|"on failure"| s3' in text.splitlines()
    _, arrows = read(text)
    assert arrows == [("begin", "s0"), ("begin", "s1"), ("s0", "s2"), ("s1", "s2"), ("s1", "s3"), ("s2", "done")]
    loop = mermaid(
        FlowSpec(name="f", coordination="iterative_refinement", max_iterations=4, steps=[steps[0], steps[3]])
    )
    assert '    s1 -->|"again, at most 4 times"| s0' in loop.splitlines()


@pytest.mark.parametrize("text", ['"', "]", "</b>", "#35;", "`x`", "a\nb", "| --> x", "%% c", "end", "x" * 500])
def test_no_text_breaks_out_of_its_node(text: str) -> None:
    steps = [StepSpec(name="end", kind="ask", ask=AskSpec(text=text), condition=text)]
    nodes, _ = read(mermaid(FlowSpec(name="subgraph", description=text, steps=steps)))
    assert nodes == ["begin", "s0", "done"]
