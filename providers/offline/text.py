"""What offline says about itself: plainly that no model was used, and how to get one."""

from collections.abc import Sequence

from holdfast.snapshot import CatalogueSkill
from providers.offline.choose import Choice, Step

LINE = "model: offline (no language model was used; skills were chosen by word match)"
_NO_MATCH = "model: offline (no language model was used; no skill matched the words of this task)"
HOW_TO = """Set one up in one of these ways, then run the task again:

- `export ANTHROPIC_API_KEY=…`
- `export OPENAI_API_KEY=…`
- run Ollama and set `DEFAULT_LLM_PROVIDER=ollama`

docs/models.md has the details."""
NO_MENDING = "offline cannot mend a program: it writes them by rule, and has no other rule for this task."
_MOST_SHOWN = 6
_JUDGES = ("code-analysis", "security-scan", "data-profile")


def refusal(skills: Sequence[CatalogueSkill]) -> str:
    """The answer to a task that cannot be done without a model."""
    text = f"{_NO_MATCH}\n\nThis task needs a language model, and none is set up.\n\n{HOW_TO}\n"
    can = [f"- {each.spec.examples[0].why} (`{each.name}`)" for each in skills if each.spec.examples]
    if not can:
        return text
    more = [f"- … and {len(can) - _MOST_SHOWN} more; `holdfast skills` lists them"] if len(can) > _MOST_SHOWN else []
    return "\n".join([text, "Without a model this can be asked for, in such words:", "", *can[:_MOST_SHOWN], *more, ""])


def no_model(what: str) -> str:
    """The message of an error: who needs a model, and what to do."""
    return f"{what} needs a language model; provider 'offline' is none.\n\n{HOW_TO}"


def notes(choice: Choice) -> list[str]:
    """Lines of the report's head: which words chose which skill, and what was not done."""
    skills = ", ".join(_chosen(step) for step in choice.steps)
    helpers = [each for each in choice.helpers if each not in {step.name for step in choice.steps}]
    lines = [f"Skills: {skills}{''.join(f', `{each}` (to get at the files)' for each in helpers)}."]
    lines += [_from_example(step) for step in choice.steps if step.filled.example is not None]
    if choice.unmatched:
        words = ", ".join(f"`{word}`" for word in choice.unmatched)
        lines.append(f"No skill has these words of the task, and nothing was done for them: {words}.")
    if any(step.name in _JUDGES for step in choice.steps):
        lines.append(
            "What stands here was found by rules. Nobody weighed it, and no rule sees whether the logic is right."
        )
    return [line for pair in lines for line in (pair, "")][:-1]


def reasoning(choice: Choice) -> str:
    return f"{LINE}. {' '.join(line for line in notes(choice) if line)}"


def question(step: Step) -> str:
    """Asks for the one argument that a skill lacks."""
    name = step.filled.missing[0]
    properties = step.skill.spec.input_schema.get("properties", {})
    schema = properties.get(name, {}) if isinstance(properties, dict) else {}
    about = schema.get("description", "") if isinstance(schema, dict) else ""
    what = f"{name!r} ({about})" if about else repr(name)
    return f"Skill {step.name!r} needs {what}, and the task does not name it. What is it?"


def _chosen(step: Step) -> str:
    words = ", ".join(step.words)
    return f"`{step.name}` ({words})" if words else f"`{step.name}`"


def _from_example(step: Step) -> str:
    spec = step.skill.spec
    number = step.filled.example or 1
    why = " ".join(spec.examples[number - 1].why.split())
    example = f"example {number} ({why})" if why else f"example {number}"
    return f"`{step.name}` was called as in its {example}, with what the task named in place of its values."
