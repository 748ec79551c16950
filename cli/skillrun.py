"""`skills run`: one call of one skill in this process tree. No server, no journal."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from cli import request, screen
from holdfast import catalogue, log, templates
from holdfast.blobs import BlobStore
from holdfast.catalogue import CatalogueSkill
from holdfast.config import Settings
from holdfast.contracts.base import Json
from holdfast.contracts.message import Message, TextPart
from holdfast.contracts.model import ModelSettings
from holdfast.errors import UserError, shown
from holdfast.ids import new_trace_id

if TYPE_CHECKING:
    from providers.base import ModelRequest, Purpose
    from providers.table import Models


def run(settings: Settings, name: str, input_: str, workspace: Path | None) -> None:
    """Print the answer as JSON.

    Raises:
        UnknownSkill, SkillInputError: exit code 2, with what is close and what is allowed.
        HoldfastError: the call failed, as it would fail in a task.
    """
    arguments = request.json_flag("--input", input_)
    if not isinstance(arguments, dict):
        raise UserError(f"--input: found {shown(arguments)}; a JSON object of arguments is expected")
    log.configure("cli", settings.log_level, "text")
    loaded = catalogue.load(settings.project, catalogue.BUILTIN, settings.undeclared_effect)
    skill = loaded.catalogue.find(name)
    if skill.spec.kind in ("native", "engine"):
        raise UserError(f"skill {skill.name!r} is answered by a task itself; use it in a program: holdfast exec")
    blobs = BlobStore(settings.blobs)
    loaded.catalogue.save(blobs)
    call = _Call(settings, blobs, skill)
    answer = asyncio.run(call.answer(arguments, (workspace or call.shared_folder).absolute()))
    screen.result(json.dumps(answer, indent=2, ensure_ascii=False))


class _Call:
    """One call, of a task that is not recorded."""

    def __init__(self, settings: Settings, blobs: BlobStore, skill: CatalogueSkill) -> None:
        self.settings, self.blobs, self.skill = settings, blobs, skill
        self.shared_folder = settings.workspaces / "default" / "default"
        self.trace_id = new_trace_id()

    async def answer(self, arguments: dict[str, Json], workspace: Path) -> Json:
        from providers.table import Models

        settings = self.settings
        asking = Models(settings.environment(), settings.default_model, settings.providers, settings.url)
        try:
            if self.skill.spec.kind == "prompt":
                return await self._of_model(asking, arguments)
            return await self._of_code(asking, arguments, workspace)
        finally:
            await asking.close()

    async def _of_model(self, asking: "Models", arguments: dict[str, Json]) -> Json:
        filled = self.skill.check_input(arguments)
        words = templates.skill_prompt(self.skill, filled, self.skill.instructions(self.blobs))
        reply = await asking.complete([], self._request("skill", words, "", filled))
        return templates.parsed_answer(self.skill, reply.text, filled)

    async def _of_code(self, asking: "Models", arguments: dict[str, Json], workspace: Path) -> Json:
        from skills.run import SkillContext, SkillRunner

        async def ask(prompt: str, system: str) -> str:
            return (await asking.complete([], self._request("ask", prompt, system, arguments))).text

        runner = SkillRunner(self.blobs, self.settings.home, self.settings.environment(), self._python())
        workspace.mkdir(parents=True, exist_ok=True)
        name = f"by-hand-{uuid4()}"
        context = SkillContext(
            task_id=name,
            call_id=name,
            key=name,
            tenant="default",
            trace_id=self.trace_id,
            attempt=1,
            workspace=workspace,
            timeout_seconds=self.skill.spec.timeout_seconds,
            project=self.settings.project,
            ask_model=ask if self.skill.spec.kind == "hybrid" else None,
        )
        try:
            return await runner.run(self.skill, arguments, context)
        finally:
            await runner.close()

    def _request(self, purpose: "Purpose", words: str, system: str, arguments: dict[str, Json]) -> "ModelRequest":
        from providers.base import Known, ModelRequest

        return ModelRequest(
            purpose=purpose,
            messages=[Message(role="user", parts=[TextPart(text=words)])],
            settings=ModelSettings(),
            read=self.blobs.get,
            system=system,
            schema=(self.skill.spec.output_schema or None) if purpose == "skill" else None,
            known=Known(skill=self.skill, arguments=arguments),
            trace_id=self.trace_id,
        )

    def _python(self) -> str | None:
        """The interpreter of the project's own environment, where it has one."""
        python = self.settings.project / ".venv" / "bin" / "python"
        return str(python) if python.exists() else None
