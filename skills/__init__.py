"""Run skills. The catalogue (in the floor) says what there is; this room says how it runs.

How a skill's code looks, built-in or a project's own:

- It is in `skill.py` or `handler.py`, else in the file that skill.yaml names: `handler`, or `execution: {handler,
  function}`. Files beside it: `from . import other`; in a project's skill `import other` works too.
- The function is the one named by `function`, else `run`, `execute` or `main`, plain or `async`.
- It gets the input's properties as keyword arguments, defaults filled in. If its only parameter is called `input_data`,
  `input`, `arguments`, `args`, `data` or `params`, and no argument is, it gets all of them as one dict.
- A parameter `context` gets an object: `task_id`, `tenant`, `call_id`, `key` (hand it to the outside world: every
  attempt of a call has the same), `trace_id`, `attempt`, `workspace` (a folder, as text; a project's skill starts in
  it), `project` (the project folder, to read, or None), `secrets` (those declared, by name) and `log(event, **values)`.
- In a hybrid skill, `context.llm(prompt=None, *, system="", **variables)` gives the model's text, in an event loop an
  awaitable of it; without a prompt, the skill's prompt_template is filled in with the arguments and the variables.
  Where there is no answer, it raises `context.ModelError`. The call's limit stands still meanwhile.
- What it returns is the answer: JSON. What it prints goes to a debug log.
- An exception is a failed call, and is tried again, unless its class is named `SkillInputError` or `PermanentError`, or
  it has `retryable = False`.
- `check: <function>` in skill.yaml names a probe for a call of which nobody knows whether it happened. It is called
  like the skill and answers True, False, None (unknown) or {"outcome": "done" | "not_done" | "unknown", "value": …}.

Built-in skills run in the worker. A project's own run in processes of the project's interpreter, with no environment
but PATH, HOME, locale, time zone, TMPDIR and the secrets that they declare.
"""
