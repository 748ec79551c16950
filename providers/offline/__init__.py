"""No key, no network, no model: skills are chosen by the words of a task, and programs written by rule.

`task` reads a sentence, `match` and `choose` find the skills, `arguments` what they are called with, `program` puts the
program together from `parts`, and `provider` is the port to all that.
"""

from providers.offline.provider import Offline

__all__ = ["Offline"]
