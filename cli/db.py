"""`db`: migrations of the store, from the command line."""

from cli import screen
from holdfast.config import Settings
from store import migrate


def upgrade(settings: Settings, revision: str) -> None:
    _told(migrate.upgrade(settings, revision))


def downgrade(settings: Settings, revision: str) -> None:
    _told(migrate.downgrade(settings, revision))


def revision(settings: Settings, message: str) -> None:
    screen.result(str(migrate.revision(settings, message)))


def current(settings: Settings, as_json: bool) -> None:
    found = migrate.current(settings)
    screen.result({"revision": found} if as_json else found or "none")
    if found is None:
        screen.say("no tables yet; make them with: holdfast db upgrade")


def _told(change: migrate.Migration) -> None:
    before, after = change.before or "no tables", change.after or "no tables"
    screen.result(f"already at {after}" if before == after else f"{before} -> {after}")
    if change.backup:
        screen.say(f"backup of the database as it was: {change.backup}")
