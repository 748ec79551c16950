"""What can be said to `holdfast flows`: commands, flags and help."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]

app = typer.Typer(help="List and show flows; check a file.", invoke_without_command=True)


@app.callback()
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the flows that there are; or show one, or check a file."""
    if context.invoked_subcommand is None:
        from cli import flows as group

        group.flows(context.obj.settings(), as_json)


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The flow.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Its graph, as Mermaid.")] = False,
    as_json: Json = False,
) -> None:
    """Show a flow: what it is for, its steps, or its graph."""
    from cli import flows as group

    if mermaid and as_json:
        raise typer.BadParameter("choose one of --mermaid, --json")
    group.show(context.obj.settings(), name, mermaid, as_json)


@app.command()
def check(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE…]", help="Files of flows. Default: all of the project.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read flows, and name file, line and key of what is wrong with them. Needs no server."""
    from cli import flowcheck

    flowcheck.check(context.obj.settings(), files or [], as_json)
