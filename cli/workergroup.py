"""What can be said to `holdfast workers`: commands, flags and help."""

from typing import Annotated

import typer

Version = Annotated[str, typer.Argument(metavar="VERSION", help="HOLDFAST_BUILD_ID of its workers.")]

app = typer.Typer(help="Look at the workers of a cluster, and replace them version by version.", no_args_is_help=True)


@app.command()
def versions(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")] = False,
) -> None:
    """List versions, newest first, and how many workflows are open on each."""
    from cli import workers as group

    group.versions(context.obj.settings(), as_json)


@app.command()
def promote(context: typer.Context, version: Version) -> None:
    """Send new tasks to a version, once its workers serve every task queue. Tasks that run stay where they are."""
    from cli import workers as group

    group.promote(context.obj.settings(), version)


@app.command()
def drain(context: typer.Context, version: Version) -> None:
    """Wait until no task runs on a version any more. Its workers can be stopped then."""
    from cli import workers as group

    group.drain(context.obj.settings(), version)


@app.command()
def check(context: typer.Context) -> None:
    """Say whether a worker on this host works, by its exit code: for a container's health check."""
    from cli import workers as group

    group.check(context.obj.settings())
