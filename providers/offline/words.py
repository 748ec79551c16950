"""English words with a part to play in reading a task."""

_STOP = """
a about all also am an and any are as at be been being below both but by can could did do does done each either
every everything for from had has have he her here hi hello his how i if in inside into is it its just kindly let
may me might more most must my need needs no not now of off on once only or other our out over please should so some
such than thank thanks that the their them then there these they this those to too under until up us use using very
want tell was we were what when where whether which while who whom whose will with within without would you your ok okay
via me myself like know anything something many much
"""
_NO_FOLDER = """
python english german french spanish markdown code file files general detail details particular parallel order
project workspace short brief case fact it them depth every each place memory time words lines time text docs
current whole entire same new this that javascript typescript java rust sql json csv html yaml
"""
_WEAK = """
file files folder folders directory project python module modules code codebase source repository repo workspace
application app say says today script scripts report result results text string term phrase check look
inspect examine show see give good find search get find read used content contents
"""
_MODEL = """
answer argue brainstorm calculate chat compare compose compute convert debate decide design draft explain fix imagine
implement improve interpret invent migrate optimize paraphrase plan port predict prove refactor reason recommend
rephrase reply rewrite solve suggest teach think translate why
"""

STOP = frozenset(_STOP.split())
"""Words without a meaning of their own."""
NO_FOLDER = frozenset(_NO_FOLDER.split())
"""What may stand after `in` and is no folder."""
FOLDERS = frozenset({"src", "lib"})
"""Words that are folders wherever they stand."""
WEAK = frozenset(_WEAK.split())
"""Words that many tasks have: one alone is no reason to use one more skill."""
NEEDS_MODEL = frozenset(_MODEL.split())
"""A task that begins with one of these, and no skill knows it, asks for thought."""
LITERAL = frozenset({"word", "words", "text", "string", "term", "phrase", "identifier"})
"""What follows one of these is meant as it stands."""
TO, WITHIN = frozenset({"to", "into", "as"}), frozenset({"in", "under", "below", "inside", "within", "from"})
"""What stands before a file to be written, and before a folder to look into."""
FOLDER = frozenset({"folder", "directory", "dir", "subfolder"})
FILES = frozenset({"file", "files", "module", "modules", "script", "scripts"})
SEEK = frozenset(
    {"find", "search", "grep", "for", "locate", "occurrences", "uses", "mention", "mentions", "contain", "contains"}
)
"""What stands before a text to look for."""
ABOUT = frozenset({"for", "about", "on"})
