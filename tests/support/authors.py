"""Scripts for the stub model: what it says to the prompts of `activities/prompts/`, told apart by their first words."""

from tests.support.stub_llm import Fault, Rule, StubLlm

PLAN, PROGRAM, REPAIR, FUSED, PHRASE, DELEGATE, MERGE = (
    "Planning step",
    "Implementation step",
    "did not run through",
    "Do the task below",
    "The program is done",
    "Delegation step",
    "Merging step",
)


def says(
    stub: StubLlm, step: str, reply: str, times: int | None = None, fault: Fault | None = None, delay_s: float = 0
) -> Rule:
    """The reply to requests whose newest message is of this step."""
    return stub.rule(lambda request: step in request.last, reply, times=times, fault=fault, delay_s=delay_s)


def fenced(source: str) -> str:
    return f"Here it is.\n\n```python\n{source}\n```\n"


def plans(stub: StubLlm, *sources: str, skills: str = '["echo"]', delay_s: float = 0) -> None:
    """It plans, writes the first program, and mends it by the next ones; the last one it writes for ever."""
    says(stub, PLAN, f'{{"selected_skills": {skills}, "reasoning": "it fits"}}', delay_s=delay_s)
    says(stub, PROGRAM, fenced(sources[0]), delay_s=delay_s)
    for source in sources[1:-1]:
        says(stub, REPAIR, fenced(source), times=1, delay_s=delay_s)
    says(stub, REPAIR, fenced(sources[-1]), delay_s=delay_s)
