"""What workflows in Temporal's sandbox use as it is, loaded once, instead of anew for each run."""

from temporalio.worker.workflow_sandbox import SandboxRestrictions

PASSED_THROUGH = (
    "pydantic",  # models are validated the same inside and outside; importing it per workflow costs 0.2 s
    "pydantic_core",
    "annotated_types",
    "rfc8785",  # pure, stateless
    "holdfast",  # the floor: contracts and pure functions
)


def restrictions() -> SandboxRestrictions:
    """The SDK's own, and these modules passed through."""
    return SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
