"""Run skills. The catalogue (in the floor) says what there is; this room says how it runs.

How a skill's code looks, built-in or a project's own:

- It is in `skill.py` or `handler.py`, else in the file named by `handler` in skill.yaml (`execution: {handler, function}`).
- The function is the one named by `function`, else `run`, `execute` or `main`, plain or `async`.
- It gets the input's properties as keyword arguments, defaults filled in. If its only parameter is called `input_data`,
  `input`, `arguments`, `args`, `data` or `params`, and no property is, it gets all of them as one dict.
- A parameter `context` gets an object with `task_id`, `call_id`, `key` (hand it to the outside world: the same call has
  the same key on every attempt), `trace_id`, `attempt`, `tenant`, `workspace` (a folder, as text) and `log(event, **values)`.
- What it returns is the answer: JSON. What it prints goes to a debug log. Files beside it: `from . import other`.
- An exception is a failed call, and is tried again, unless its class is named `SkillInputError` or `PermanentError`,
  or it has `retryable = False`.
- `check: <function>` in skill.yaml names a probe for a call of which nobody knows whether it happened. It is called like
  the skill and answers True, False, None (unknown) or {"outcome": "done" | "not_done" | "unknown", "value": …}.

Built-in skills run in the worker. A project's own run in processes of the project's interpreter, with no environment but
PATH, HOME, locale, time zone and the secrets that they declare.
"""
