"""What can be said to `holdfast schedules`: commands, flags and help."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule.")]

app = typer.Typer(help="List, make and drive schedules: tasks that begin by the clock.", invoke_without_command=True)


@app.callback()
def callback(context: typer.Context, as_json: Json = False) -> None:
    """List the schedules that there are; or show, make or drive one."""
    if context.invoked_subcommand is None:
        from cli import schedules as group

        group.list_(context.obj.settings(), as_json)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the schedules that there are, and when each comes next."""
    from cli import schedules as group

    group.list_(context.obj.settings(), as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a schedule: when it comes, what it asks for, its latest tasks."""
    from cli import schedules as group

    group.show(context.obj.settings(), name, as_json)


@app.command()
def create(
    context: typer.Context,
    name: Name,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The task in plain words.")] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="CRON", help="minute hour day month day_of_week, such as '0 8 * * MON-FRI'.")
    ] = None,
    every: Annotated[int | None, typer.Option(min=1, metavar="S", help="Every so many seconds, instead.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Who does it. Default: holdfast's own.")] = None,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="A flow, instead of an agent.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="Input of the flow, or beside the words.")
    ] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Of the cron, such as Europe/Berlin.")] = "UTC",
    overlap: Annotated[
        str, typer.Option(metavar="POLICY", help="skip, buffer_one, buffer_all, cancel_other, allow_all, …")
    ] = "skip",
    catchup: Annotated[float, typer.Option(min=10, metavar="S", help="Make up for times missed so long ago.")] = 60,
    paused: Annotated[bool, typer.Option("--paused", help="It waits for `resume`.")] = False,
    as_json: Json = False,
) -> None:
    """Make a schedule by hand. Those of agents and flows stand in their files."""
    from cli import schedules as group

    if (cron is None) == (every is None):
        raise typer.BadParameter("give one of --cron, --every")
    request = group.request(text, agent, flow, input_)
    timing = {"cron": cron, "interval_seconds": every, "timezone": timezone, "overlap": overlap}
    more = {"catchup_seconds": catchup, "enabled": not paused}
    group.create(context.obj.settings(), {"name": name, "request": request, **timing, **more}, as_json)


@app.command()
def pause(context: typer.Context, name: Name) -> None:
    """Begin no more tasks until `resume`."""
    from cli import schedules as group

    group.enable(context.obj.settings(), name, enabled=False)


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Go on after a pause. Times that passed in it are not made up for."""
    from cli import schedules as group

    group.enable(context.obj.settings(), name, enabled=True)


@app.command()
def trigger(context: typer.Context, name: Name) -> None:
    """Begin its task now, also while it is paused; prints the task's id."""
    from cli import schedules as group

    group.trigger(context.obj.settings(), name)


@app.command()
def backfill(
    context: typer.Context,
    name: Name,
    first: Annotated[str, typer.Option("--from", metavar="TIME", help="Such as 2026-11-01T08:00; your time zone.")],
    last: Annotated[str, typer.Option("--to", metavar="TIME", help="The end; both are included.")],
    overlap: Annotated[
        str, typer.Option(metavar="POLICY", help="allow_all begins all at once; buffer_all one behind the other.")
    ] = "buffer_all",
    as_json: Json = False,
) -> None:
    """Make up for times that are over; prints each with the id of its task. A time that has a task begins no other."""
    from cli import schedules as group

    group.backfill(context.obj.settings(), name, first, last, overlap, as_json)


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete one that was made by hand. Tasks that it began go on."""
    from cli import schedules as group

    group.delete(context.obj.settings(), name)
