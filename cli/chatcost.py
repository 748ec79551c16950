"""What a chat took: tokens and money, of the last turn and of the whole session. What is not known is said to be so."""

from dataclasses import dataclass

from cli import screen
from cli.chatsession import Chat
from cli.groups import money
from cli.views import count
from holdfast.contracts.task import Task
from holdfast.errors import NotFound

_COUNTED_TURNS = 200


@dataclass
class Sum:
    """`known` is USD; `unknown` counts turns that asked models, of which nobody knows what that cost."""

    turns: int = 0
    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    known: float = 0.0
    unknown: int = 0

    @classmethod
    def of(cls, tasks: list[Task]) -> "Sum":
        asked = [task for task in tasks if task.llm_calls]
        return cls(
            turns=len(tasks),
            llm_calls=sum(task.llm_calls for task in asked),
            input_tokens=sum(task.input_tokens for task in asked),
            output_tokens=sum(task.output_tokens for task in asked),
            known=sum(task.total_cost or 0.0 for task in asked),
            unknown=sum(task.total_cost is None for task in asked),
        )

    def __str__(self) -> str:
        calls = f"{count(self.llm_calls, 'LLM call')}, {self.input_tokens:,} tokens in, {self.output_tokens:,} out"
        if self.unknown and self.unknown == self.turns:
            return f"{calls}, {money(None)}"
        return f"{calls}, {money(self.known)}" + (
            f" and {count(self.unknown, 'turn')} of unknown cost" if self.unknown else ""
        )


def show(chat: Chat) -> None:
    tasks = _tasks(chat)
    if not tasks:
        screen.say("nothing yet: this session has no turn")
        return
    last = chat.turns[-1:] or tasks[-1:]
    screen.say(f"  last turn  {Sum.of(last)}")
    more = f" (the last {len(tasks)})" if len(tasks) == _COUNTED_TURNS else ""
    screen.say(f"  session    {count(len(tasks), 'turn')}{more}: {Sum.of(tasks)}")


def _tasks(chat: Chat) -> list[Task]:
    """The session's turns, oldest first; those that ended before our eyes are not asked for again."""
    known = {task.id: task for task in chat.turns}
    try:
        told = [turn.task_id for turn in chat.client.messages(chat.session_id, _COUNTED_TURNS)][::-1]
    except NotFound:
        told = []
    ids = list(dict.fromkeys([*told, *known]))
    return [known.get(one) or chat.client.task(one) for one in ids[-_COUNTED_TURNS:]]
