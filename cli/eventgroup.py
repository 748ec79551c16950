"""What can be said to `holdfast events`: commands, flags and help."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]

app = typer.Typer(help="Send events, and see what each started.", no_args_is_help=True)


@app.command()
def send(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as shop.order.paid.")],
    payload: Annotated[str | None, typer.Argument(metavar="[JSON|@FILE]", help="What is said.")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="The same id again starts nothing twice.")] = None,
    as_json: Json = False,
) -> None:
    """Say what happened: agents and flows that subscribed to the topic are started. Prints the event's id."""
    from cli import events as group

    group.send(context.obj.settings(), topic, payload, event_id, as_json)


@app.command("list")
def list_(
    context: typer.Context,
    topic: Annotated[str | None, typer.Option(help="Exactly this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: Json = False,
) -> None:
    """List events, the newest first, and what each started."""
    from cli import events as group

    group.list_(context.obj.settings(), topic, limit, as_json)


@app.command()
def show(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="EVENT", help="Its id.")],
    as_json: Json = False,
) -> None:
    """Show an event in full."""
    from cli import events as group

    group.show(context.obj.settings(), event_id, as_json)
