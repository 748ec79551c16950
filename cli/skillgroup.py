"""What can be said to `holdfast skills`: commands, flags and help. A word that is none of them is a skill's name."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
_HELP = ("-h", "--help")


class _ListByDefault(TyperGroup):
    """`holdfast skills`, `holdfast skills NAME` and `holdfast skills --tag web` are short for `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_own = bool(args) and (args[0] in self.commands or args[0] in _HELP)
        return super().parse_args(ctx, args if is_own else ["list", *args])


app = typer.Typer(cls=_ListByDefault, help="List and show skills; make, check and run one.")


@app.command("list")
def list_(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One skill, with its arguments.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only skills with this tag.")] = None,
    as_json: Json = False,
) -> None:
    """List the skills that a program may call, or show one. The word `list` can be left out."""
    from cli import skills as group

    group.skills(context.obj.settings(), name, tag, as_json)


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by hyphens.")],
    kind: Annotated[
        Literal["script", "prompt", "hybrid"],
        typer.Option(help="Code; a prompt for the model; or code that asks the model."),
    ] = "script",
) -> None:
    """Make a skill that works in the project's skills/, to be changed into yours."""
    from cli import newskill

    newskill.new(context.obj.settings(), name, kind)


@app.command()
def check(
    context: typer.Context,
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Folders of skills. Default: all of the project.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check skills without a server: file, line, key, what is allowed. Exit code 1 if one has an error."""
    from cli import skillcheck

    skillcheck.check(context.obj.settings(), folders or [], as_json)


@app.command()
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A built-in skill, or one of the project.")],
    input_: Annotated[str, typer.Option("--input", metavar="JSON|@FILE", help="Its arguments, an object.")] = "{}",
    workspace: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder it works in. Default: that of the worker's tasks.")
    ] = None,
) -> None:
    """Run one skill here, without a server, and print its answer as JSON. Nothing is recorded."""
    from cli import skillrun

    skillrun.run(context.obj.settings(), name, input_, workspace)
