"""What can be said to `holdfast`: every command, its flags and its help. What is done stands in one module a group,
imported when its command runs, so that `holdfast --help` loads none of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Never, cast

import typer

from cli import auditgroup, backloggroup, eventgroup, flowgroup, schedulegroup, skillgroup, workergroup

if TYPE_CHECKING:
    from holdfast.client import asks

app = typer.Typer(
    name="holdfast",
    help="Durable AI agents on Temporal: ordinary Python programs that survive anything.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failed run, 2 usage, 3 cannot connect, 130 ctrl-c (the task goes on).",
)
db = typer.Typer(help="Migrate the database.", no_args_is_help=True)
app.add_typer(db, name="db", rich_help_panel="Look after it")
config = typer.Typer(help="Look at the settings.", no_args_is_help=True)
app.add_typer(config, name="config", rich_help_panel="Look after it")

sandbox = typer.Typer(help="Make what sandboxes need.", no_args_is_help=True)
app.add_typer(sandbox, name="sandbox", rich_help_panel="Look after it")

RUN, TASKS, CARE = "Run it", "Tasks", "Look after it"

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Task id, or its beginning (6 characters or more).")]

Priority = Annotated[
    str | None, typer.Option(metavar="1-5", help="1 is done first, 5 last, where work has to wait. Default: 3.")
]

_OF_ALL = "of this task and all that it starts, together; then it waits for a top-up."
MaxUsd = Annotated[float | None, typer.Option(min=0, metavar="USD", help=f"Budget: money for models, {_OF_ALL}")]
MaxTokens = Annotated[int | None, typer.Option(min=0, metavar="N", help="Budget: tokens in and out.")]
MaxCalls = Annotated[int | None, typer.Option(min=0, metavar="N", help="Budget: calls of skills.")]
MaxSeconds = Annotated[float | None, typer.Option(min=0, metavar="S", help="Budget: seconds, without such waits.")]

Parent = Annotated[int | None, typer.Option(hidden=True, help="End when the process of this id is gone.")]


def _version(wanted: bool) -> None:
    if wanted:
        from holdfast import __version__

        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


@app.callback()
def flags(
    context: typer.Context,
    project: Annotated[
        Path | None, typer.Option(help="Project folder. Default: the nearest one with holdfast.yaml.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Data folder. Default: .holdfast in the project folder.")] = None,
    url: Annotated[str | None, typer.Option(help="URL of the API. Default: http://127.0.0.1:8000")] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something goes wrong (anywhere on the line).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    from cli.flags import Flags

    context.obj = Flags(project=project, home=home, url=url)


@app.command(rich_help_panel=RUN)
def up(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many worker processes.")] = 1,
    json_logs: Annotated[
        bool, typer.Option("--json-logs/--text-logs", help="Form of the files in .holdfast/logs.")
    ] = True,
) -> None:
    """Start everything on this machine: Temporal dev server, worker and API. Ctrl-C stops it; tasks continue later."""
    from cli import up as group

    group.up(context.obj.settings(), workers, json_logs)


@app.command(rich_help_panel=RUN)
def worker(
    context: typer.Context,
    queues: Annotated[str, typer.Option(help="Task queues to serve, comma-separated.")] = "agents,llm,skills,sandbox",
    parent: Parent = None,
) -> None:
    """Start one worker process. SIGTERM drains it."""
    from cli import serve as group

    group.worker(context.obj.settings(), queues, parent)


@app.command(rich_help_panel=RUN)
def serve(context: typer.Context, parent: Parent = None) -> None:
    """Start the HTTP API alone."""
    from cli import serve as group

    group.api(context.obj.settings(), parent)


@app.command(rich_help_panel=RUN)
def demo(
    context: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Keep everything running afterwards, until ctrl-c.")] = False,
) -> None:
    """See it work: a sentence becomes a report; sandbox and worker are killed on the way; nothing is done twice."""
    from cli import demo as group

    group.demo(context.obj.settings(), keep)


@app.command(rich_help_panel=CARE)
def chaos(
    context: typer.Context,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long faults strike. Default: 60, or an hour with --kills.")
    ] = None,
    kills: Annotated[int | None, typer.Option(min=0, help="End after so many kills.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat a run's choices. Default: by chance; it is printed.")] = None,
    scenario: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these tasks. Repeatable.")] = None,
    faults: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these faults; `none` for no fault. Repeatable.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything that was found, too.")] = None,
) -> None:
    """Kill, pause and starve everything while tasks run, and judge from outside. Exit code 1: a promise broke."""
    from random import SystemRandom

    from cli import chaos as group

    seconds = seconds or (60.0 if kills is None else 3600.0)
    seed = SystemRandom().randrange(1 << 31) if seed is None else seed
    group.chaos(context.obj.settings(), seconds, kills, seed, scenario or [], faults or [], json)


@app.command(rich_help_panel=TASKS)
def run(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The task in plain words; - reads stdin.")],
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Who does it. Default: holdfast's own.")] = None,
    skills: Annotated[str | None, typer.Option(metavar="A,B", help="Skills it may use. Default: its agent's.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT|@FILE", help="System prompt for this task.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER:MODEL", help="Model for this task. Default: its agent's.")
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="What its program sees as `inputs`.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Idempotency key: the same key is the same task.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For instance run_seconds=60. Repeatable.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option("--file", metavar="PATH", help="A file for its folder in/. Repeatable.")
    ] = None,
    priority: Priority = None,
    max_usd: MaxUsd = None,
    max_tokens: MaxTokens = None,
    max_calls: MaxCalls = None,
    max_seconds: MaxSeconds = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the task id and go.")] = False,
    as_json: Json = False,
) -> None:
    """Give an agent a task in plain words and follow it. The answer goes to stdout; ctrl-c detaches."""
    from cli import request, tasks

    budget = _units(max_tokens, max_usd, max_calls, max_seconds)
    body = request.agent_request(text, agent, skills, system, model, input_, key, limit or [], priority, budget)
    tasks.start(context.obj.settings(), body, files or [], detach, as_json)


@app.command(rich_help_panel=TASKS)
def chat(
    context: typer.Context,
    session: Annotated[str | None, typer.Argument(metavar="[ID]", help="With --resume: which session.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in a session: the one of this id, or choose from the latest.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--session", metavar="ID", help="Talk in the session of this id; new if there is none."),
    ] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Who answers. Default: holdfast's own.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER:MODEL", help="Model that answers. Default: its agent's.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", "--mock", help="The planner without a model: no key, no network.")
    ] = False,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="An image for the first message. Repeatable.")
    ] = None,
    once: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Say this alone, print the answer and end; - reads stdin.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: all that happens, as lines of JSON.")] = False,
) -> None:
    """Talk with an agent. The session outlives this command; `exit` ends it, `--resume` goes on."""
    from cli import chat as group

    if session is not None and not resume:
        raise typer.BadParameter(f"for one message: --once {session!r}; for a session of this id: --resume {session}")
    if (offline and model) or (resume and name is not None) or (as_json and once is None):
        raise typer.BadParameter("--offline excludes --model, --resume excludes --session, --json needs --once")
    resumed = (session or "") if resume else None
    wanted = group.Wanted(agent, group.OFFLINE if offline else model, name, resumed, image or [], as_json)
    group.chat(context.obj.settings(), wanted, once)


@app.command("exec", rich_help_panel=TASKS)
def exec_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Python program; - reads stdin.")],
    input_: Annotated[
        str | None, typer.Option("--input", metavar="JSON|@FILE", help="What the program sees as `inputs`.")
    ] = None,
    skills: Annotated[str | None, typer.Option(metavar="A,B", help="Skills it may call. Default: all.")] = None,
    repair: Annotated[
        Literal["ask", "fail"], typer.Option(help="When the program raises: ask for a mended text, or fail.")
    ] = "fail",
    key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Idempotency key: the same key is the same task.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For instance run_seconds=60. Repeatable.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option("--file", metavar="PATH", help="A file for its folder in/. Repeatable.")
    ] = None,
    priority: Priority = None,
    max_usd: MaxUsd = None,
    max_tokens: MaxTokens = None,
    max_calls: MaxCalls = None,
    max_seconds: MaxSeconds = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the task id and go.")] = False,
    as_json: Json = False,
) -> None:
    """Run a Python program durably and follow it. The result goes to stdout; ctrl-c detaches."""
    from cli import request, tasks

    budget = _units(max_tokens, max_usd, max_calls, max_seconds)
    body = request.program_request(file, input_, skills, repair, key, limit or [], priority, budget)
    tasks.start(context.obj.settings(), body, files or [], detach, as_json)


@app.command(rich_help_panel=TASKS)
def show(
    context: typer.Context,
    task: Id,
    steps: Annotated[bool, typer.Option("--steps", help="Every call and question.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="All calls with their answers, as JSON (format 1).")
    ] = False,
    program: Annotated[bool, typer.Option("--program", help="The program's text.")] = False,
    result: Annotated[bool, typer.Option("--result", help="The result alone.")] = False,
    files: Annotated[bool, typer.Option("--files", help="What its program left in out/.")] = False,
    save: Annotated[str | None, typer.Option(metavar="DIR", help="Fetch that into this folder.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch it until it ends.")] = False,
    as_json: Json = False,
) -> None:
    """Show a task, or one view of it."""
    from cli import files as outputs
    from cli import tasks

    views: dict[tasks.View, bool] = {"steps": steps, "journal": journal, "program": program, "result": result}
    chosen = [view for view, wanted in views.items() if wanted]
    wants_files = files or save is not None
    if len(chosen) + follow + wants_files > 1:
        raise typer.BadParameter("choose one of --steps, --journal, --program, --result, --files, --follow")
    if wants_files:
        outputs.show(context.obj.settings(), task, save, as_json)
    elif follow:
        tasks.follow(context.obj.settings(), task, as_json)
    else:
        tasks.show(context.obj.settings(), task, chosen[0] if chosen else "task", as_json)


@app.command("list", rich_help_panel=TASKS)
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List tasks, newest first."""
    from cli import tasks

    tasks.list_(context.obj.settings(), limit, as_json)


@app.command(rich_help_panel=TASKS)
def answer(
    context: typer.Context,
    task: Id,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUESTION] VALUE", help="The question's id when several are open; the answer."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Take the answer from a file; - reads stdin.")
    ] = None,
) -> None:
    """Answer a question that a task asks."""
    from cli import request, tasks

    question, value = request.answer_words(words or [], file)
    tasks.answer(context.obj.settings(), task, question, value)


@app.command(rich_help_panel=TASKS)
def reject(
    context: typer.Context,
    task: Id,
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="The question's id when several are open.")
    ] = None,
) -> None:
    """Close a question without an answer: whoever asked hears that there is none."""
    from cli import tasks

    tasks.reject(context.obj.settings(), task, question)


@app.command(rich_help_panel=TASKS)
def budget(
    context: typer.Context,
    task: Id,
    add_tokens: Annotated[int | None, typer.Option(min=1, metavar="N", help="Allow so many tokens more.")] = None,
    add_usd: Annotated[float | None, typer.Option(min=0, metavar="USD", help="Allow so much money more.")] = None,
    add_calls: Annotated[int | None, typer.Option(min=1, metavar="N", help="Allow so many calls more.")] = None,
    add_seconds: Annotated[float | None, typer.Option(min=0, metavar="S", help="Allow so much time more.")] = None,
    as_json: Json = False,
) -> None:
    """Show how the budget of a task stands, or add to it: what waits for that goes on."""
    from cli import budget as group

    group.budget(context.obj.settings(), task, _units(add_tokens, add_usd, add_calls, add_seconds), as_json)


def _units(tokens: int | None, usd: float | None, calls: int | None, seconds: float | None) -> "asks.Limits":
    """Those that were given."""
    given = {"tokens": tokens, "usd": usd, "calls": calls, "seconds": seconds}
    return cast("asks.Limits", {unit: value for unit, value in given.items() if value is not None})


@app.command(rich_help_panel=TASKS)
def cancel(context: typer.Context, task: Id, as_json: Json = False) -> None:
    """Cancel a task, down to its sandbox."""
    from cli import tasks

    tasks.cancel(context.obj.settings(), task, as_json)


app.add_typer(skillgroup.app, name="skills", rich_help_panel=TASKS)
app.add_typer(flowgroup.app, name="flows", rich_help_panel=TASKS)
app.add_typer(schedulegroup.app, name="schedules", rich_help_panel=TASKS)
app.add_typer(eventgroup.app, name="events", rich_help_panel=TASKS)
app.add_typer(backloggroup.app, name="backlog", rich_help_panel=TASKS)
app.add_typer(auditgroup.app, name="audit", rich_help_panel=CARE)
app.add_typer(workergroup.app, name="workers", rich_help_panel=CARE)


@app.command(rich_help_panel=TASKS)
def agents(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One agent, in full.")] = None,
    as_json: Json = False,
) -> None:
    """List the agents that take tasks, and whether a worker can run them; or show one."""
    from cli import agents as group

    group.agents(context.obj.settings(), name, as_json)


@app.command(rich_help_panel=CARE)
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check this machine and say how to fix what is wrong."""
    from cli import doctor as group

    group.doctor(context.obj, as_json)


@app.command(rich_help_panel=CARE)
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One contract, for instance TaskRequest.")
    ] = None,
) -> None:
    """Print the JSON Schemas of all public contracts, and of the files AgentFile, FlowFile and SkillFile."""
    from cli import schema as group

    group.schema(name)


@config.command("show")
def config_show(context: typer.Context, as_json: Json = False) -> None:
    """Print every setting, as flags, environment, .env and holdfast.yaml make it, and its variable."""
    from cli import config as group

    group.show(context.obj.settings(), as_json)


@db.command()
def upgrade(context: typer.Context, revision: Annotated[str, typer.Argument()] = "head") -> None:
    """Bring the database to a revision (default: the newest)."""
    from cli import db as group

    group.upgrade(context.obj.settings(), revision)


@db.command()
def downgrade(
    context: typer.Context, revision: Annotated[str, typer.Argument(help="For instance -1, or base.")]
) -> None:
    """Take the database back to a revision."""
    from cli import db as group

    group.downgrade(context.obj.settings(), revision)


@db.command("revision")
def revision_(
    context: typer.Context, message: Annotated[str, typer.Option("--message", "-m", help="What changes.")]
) -> None:
    """Write a new migration from what the models say (for developers)."""
    from cli import db as group

    group.revision(context.obj.settings(), message)


@db.command()
def current(context: typer.Context, as_json: Json = False) -> None:
    """Print the revision that the database is at."""
    from cli import db as group

    group.current(context.obj.settings(), as_json)


@sandbox.command()
def build(
    context: typer.Context,
    from_system: Annotated[
        bool, typer.Option("--from-system", help="From this machine's Python: needs no registry and no network.")
    ] = False,
) -> None:
    """Make the image of SANDBOX_TYPE=docker, under the name in SANDBOX_DOCKER_IMAGE."""
    from cli import sandboxes as group

    group.build(context.obj.settings(), from_system)


def main() -> Never:
    """Entry point: runs one command; an error of ours becomes one message and an exit code, never a traceback."""
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(args=arguments, prog_name="holdfast")
    except Exception as exc:
        if debug:
            raise
        sys.exit(_told(exc))
    raise AssertionError("typer ends every command with SystemExit")


def _told(exc: Exception) -> int:
    from cli import screen
    from holdfast.errors import HoldfastError

    if isinstance(exc, HoldfastError):
        screen.fail(exc)
        return screen.exit_code(exc)
    advice = "This is a defect of holdfast; run it again with --debug and report the traceback"
    screen.fail(HoldfastError(f"{type(exc).__name__}: {exc}. {advice}"))
    return screen.FAILED


if __name__ == "__main__":
    main()
