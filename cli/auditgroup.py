"""What can be said to `holdfast audit`: commands, flags and help."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
Tenant = Annotated[str, typer.Option(help="Whose record.")]

app = typer.Typer(help="Look at who decided what, and check that nobody changed the record.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Of this task only: its whole id.")] = None,
    tenant: Tenant = "default",
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="So many rows, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List decisions: approvals, answers, questions that nobody answered."""
    from cli import audit as group

    group.entries(context.obj.settings(), tenant, task, limit, as_json)


@app.command()
def verify(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Whose record. Default: that of every tenant.")] = None,
    as_json: Json = False,
) -> None:
    """Follow the chain of hashes from the first row to the last; exit code 1 if a row was changed or taken out."""
    from cli import audit as group

    group.verify(context.obj.settings(), tenant, as_json)
