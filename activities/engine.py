"""Skills of kind `engine`: they read or write what holdfast itself keeps, so their code is part of the worker.

`skills/builtin/<name>/` holds what such a skill says of itself, and no code; what runs is looked up here by its name.
An agent that may use every skill gets none of these by that: it names them, or a task is given them where they are of
use.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from holdfast.catalogue import CatalogueSkill
from holdfast.contracts.base import Json
from holdfast.contracts.skill import SkillCall
from holdfast.errors import SkillRefused, SkillTimeout

Engine = Callable[[SkillCall, dict[str, Json]], Awaitable[Json]]
"""The code of one: it gets the call and its arguments, checked and with defaults, and gives what the schema says.

`call.key` is the same for each try of a call: one with effect `keyed` must do its work once for it. It raises
SkillRefused for what trying again cannot mend.
"""


async def answered(engines: Mapping[str, Engine], skill: CatalogueSkill, call: SkillCall, arguments: Json) -> Json:
    """The answer of a call, checked against the skill's output schema.

    Raises:
        SkillInputError: the arguments do not fit. Nothing was run.
        SkillRefused: this worker has no such skill, or the skill's own word.
        SkillTimeout, SkillOutputError: see errors.py.
    """
    filled = skill.check_input(arguments)
    engine = engines.get(skill.name)
    if engine is None:
        raise SkillRefused(f"skill {skill.name!r} is not part of this worker; it may be older than the task. Update it")
    try:
        async with asyncio.timeout(call.timeout_seconds):
            value = await engine(call, filled)
    except TimeoutError:
        raise SkillTimeout(f"{skill.label} ran longer than its {call.timeout_seconds:g} s (timeout_seconds)") from None
    await asyncio.to_thread(skill.check_output, value)
    return value
