"""Every error that leaves holdfast.

    HoldfastError            code, HTTP status and whether a retry may help are class facts
    |- UserError             the caller can mend it (4xx, CLI exit 2)
    |  |- SpecInvalid        a skill, agent, flow or settings file does not parse
    |  |- ProgramInvalid     a program does not parse, or names a skill that is not there
    |  |- SkillInputError    arguments do not fit the skill's input schema
    |  |- UnknownSkill       no skill of that name, or not granted to this task
    |  |- UnknownAgent       no agent of that name
    |  |- UnknownFlow        no flow of that name
    |  |- UnknownTaskType    a task's type that is none
    |  |- InvalidRequest     a field, a parameter or the JSON of a request is wrong
    |  |- InvalidCron        a schedule's cron is none: not five fields, or one of them is wrong
    |  |- TooLarge           more bytes than are allowed, or a prompt that no model has room for
    |  |- NotFound           no task, question or blob of that id
    |  |- Conflict           same idempotency key with another body, or a task that is over
    |  `- Forbidden          missing or wrong key, Host or Origin
    |- OperatorError         whoever runs holdfast can mend it (503, CLI exit 3)
    |  |- TooManyTasks       as many tasks are in work as are allowed (429); says when to come back
    |  |- NoTemporal         the Temporal server is neither found nor reachable
    |  |- NoIsolation        no sandbox adapter passed its probe
    |  |- SettingsInvalid    a setting has a wrong value, or stands in two files
    |  |- NoModel            a language model is needed, and none is set up, or its key is missing
    |  |- ModelUnavailable   the model's server cannot be reached; waits until the task's deadline
    |  |  `- ModelBusy       it says that it is busy (429, 529), and perhaps for how long
    |  |- ModelFailed        it answered with a fault of its own (5xx, a cut stream); tried `max_retries` times more
    |  |- ModelRefused       it refused the request (key, name, size): the same request fails again
    |  |- SecretMissing      a skill names a secret that is not set
    |  `- StoreUnavailable   the database is locked, full or gone
    `- SkillFailed           a skill answered with an error
       |- SkillRefused       its error says that trying again cannot help
       |- SkillOutputError   its answer does not fit its output schema, or is not JSON
       |- SkillTimeout       it ran longer than its limit
       `- SkillCrashed       its process died under it (retryable unless the skill is `once`)

What a *model* can mend is no exception: a program that fails is a result.
"""

from typing import ClassVar

_SHOWN = 200


class HoldfastError(Exception):
    """Base of all errors that holdfast raises on purpose. The message says what was found, what is allowed, what to do.

    `details` are JSON facts for programs that read the error; they travel in the API's error body.
    """

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message)
        self.details = details


class UserError(HoldfastError):
    code = "BAD_REQUEST"
    status = 400


class SpecInvalid(UserError):
    """`file`, `line` and `key` repeat what the message says, for those who show problems in a list."""

    code = "INVALID_CONFIG"
    status = 422

    def __init__(self, message: str, *, file: str = "", line: int | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.file, self.line, self.key = file, line, key


class ProgramInvalid(UserError):
    code = "INVALID_PROGRAM"
    status = 422


class SkillInputError(UserError):
    code = "INVALID_SKILL_INPUT"
    status = 422


class UnknownSkill(UserError):
    code = "SKILL_NOT_FOUND"
    status = 404


class UnknownAgent(UserError):
    code = "AGENT_NOT_FOUND"
    status = 404


class UnknownFlow(UserError):
    code = "WORKFLOW_NOT_FOUND"
    status = 404


class UnknownTaskType(UserError):
    code = "UNKNOWN_TASK_TYPE"
    status = 422


class InvalidRequest(UserError):
    code = "INVALID_REQUEST"
    status = 422


class InvalidCron(UserError):
    code = "INVALID_CRON"
    status = 400


class TooLarge(UserError):
    code = "TOO_LARGE"
    status = 413


class NotFound(UserError):
    code = "NOT_FOUND"
    status = 404


class Conflict(UserError):
    code = "CONFLICT"
    status = 409


class Forbidden(UserError):
    code = "FORBIDDEN"
    status = 403


class OperatorError(HoldfastError):
    code = "UNAVAILABLE"
    status = 503
    retryable = True


class TooManyTasks(OperatorError):
    """`retry_after` is the number of seconds after which a place is likely to be free; nothing was recorded."""

    code = "TOO_MANY_TASKS"
    status = 429

    def __init__(self, message: str, retry_after: int = 1, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class NoTemporal(OperatorError):
    code = "TEMPORAL_UNAVAILABLE"


class NoIsolation(OperatorError):
    code = "NO_ISOLATION"
    retryable = False


class SettingsInvalid(OperatorError):
    code = "INVALID_SETTINGS"
    retryable = False


class NoModel(OperatorError):
    code = "NO_MODEL"
    retryable = False


class ModelUnavailable(OperatorError):
    """`retry_after` is the number of seconds that the model's server asks to wait, where it says it."""

    code = "MODEL_UNAVAILABLE"

    def __init__(self, message: str, retry_after: float | None = None, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class ModelBusy(ModelUnavailable):
    code = "MODEL_BUSY"


class ModelFailed(OperatorError):
    code = "MODEL_FAILED"


class ModelRefused(OperatorError):
    code = "MODEL_REFUSED"
    retryable = False


class SecretMissing(OperatorError):
    code = "SECRET_MISSING"
    retryable = False


class StoreUnavailable(OperatorError):
    code = "STORE_UNAVAILABLE"


class SkillFailed(HoldfastError):
    code = "SKILL_FAILED"
    retryable = True


class SkillRefused(SkillFailed):
    code = "SKILL_REFUSED"
    retryable = False


class SkillOutputError(SkillFailed):
    code = "INVALID_SKILL_OUTPUT"
    retryable = False


class SkillTimeout(SkillFailed):
    code = "SKILL_TIMEOUT"


class SkillCrashed(SkillFailed):
    code = "SKILL_CRASHED"


def shown(value: object) -> str:
    """`repr` of a value that was found, cut at 200 characters, for use in messages."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
