"""What can be said to `holdfast backlog`: commands, flags and help."""

from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="The conversation: its whole id.")]
Item = Annotated[str, typer.Argument(metavar="ITEM", help="Its id, as `list` shows it.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="What came of it.")]

app = typer.Typer(help="Follow-up work of a conversation: put it aside, work through it.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    session: Session,
    state: Annotated[Literal["open", "taken", "done", "failed"] | None, typer.Option(help="Only these.")] = None,
    as_json: Json = False,
) -> None:
    """List items: first what is to be done, in the order of adding, then what is over."""
    from cli import backlog as group

    group.list_(context.obj.settings(), session, state, as_json)


@app.command()
def add(
    context: typer.Context,
    session: Session,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be done, in plain words; - reads stdin.")],
    as_json: Json = False,
) -> None:
    """Put follow-up work at the end. Prints the item's id."""
    from cli import backlog as group

    group.add(context.obj.settings(), session, text, as_json)


@app.command("next")
def next_(context: typer.Context, session: Session, as_json: Json = False) -> None:
    """Take the oldest open item, so that nobody else does. Prints its id and text."""
    from cli import backlog as group

    group.take(context.obj.settings(), session, as_json)


@app.command()
def done(context: typer.Context, session: Session, item: Item, note: Note = "", as_json: Json = False) -> None:
    """Mark an item as done. The first word on it holds."""
    from cli import backlog as group

    group.finish(context.obj.settings(), session, item, note, as_json)


@app.command()
def fail(context: typer.Context, session: Session, item: Item, note: Note = "", as_json: Json = False) -> None:
    """Mark an item as failed. The first word on it holds."""
    from cli import backlog as group

    group.fail(context.obj.settings(), session, item, note, as_json)


@app.command()
def work(
    context: typer.Context,
    session: Session,
    max_items: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many items, up to 100. Default: 10.")
    ] = None,
    max_usd: Annotated[
        float | None,
        typer.Option(min=0, metavar="USD", help="Budget: money for models, of all items together; then it ends."),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, metavar="N", help="Budget: tokens in and out.")] = None,
    max_calls: Annotated[int | None, typer.Option(min=0, metavar="N", help="Budget: calls of skills.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0, metavar="S", help="Budget: seconds from now.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow it to its end; ctrl-c detaches. Exit code 1: an item failed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Work through open items, one after another, each a turn of the conversation."""
    from cli import backlog as group

    given = {"usd": max_usd, "tokens": max_tokens, "calls": max_calls, "seconds": max_seconds}
    budget = {unit: value for unit, value in given.items() if value is not None}
    group.work(context.obj.settings(), session, max_items, budget, wait, as_json)


@app.command()
def status(context: typer.Context, session: Session, as_json: Json = False) -> None:
    """Show the latest order to work: its items, what they took, why it ended."""
    from cli import backlog as group

    group.status(context.obj.settings(), session, as_json)


@app.command()
def stop(context: typer.Context, session: Session, as_json: Json = False) -> None:
    """Work no further item. The one in work is finished; what was put aside stays open."""
    from cli import backlog as group

    group.stop(context.obj.settings(), session, as_json)
