"""A workflow that a running task would not survive: the replay test must notice it."""

from datetime import timedelta

from temporalio import workflow

from holdfast.contracts.program import PROGRAM_WORKFLOW, ProgramResult, ProgramSpec
from workflows.program import ProgramWorkflow


@workflow.defn(name=PROGRAM_WORKFLOW)
class ChangedWorkflow(ProgramWorkflow):
    @workflow.init
    def __init__(self, spec: ProgramSpec) -> None:
        super().__init__(spec)

    @workflow.run
    async def run(self, spec: ProgramSpec) -> ProgramResult:
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(spec)
