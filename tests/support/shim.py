"""Runs a program of holdfast in plain CPython, `python shim.py PROGRAM RESULT`: skills answer in-process, at once."""

import ast
import asyncio
import inspect
import json
import sys
import types
from pathlib import Path
from typing import Any


class SkillError(Exception):
    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        vars(self).update(facts, message=message)


class Skills(types.ModuleType):
    """`echo(i)` gives `i`, `boom` fails, any other gives its name: as `guest_host.echo` does."""

    def __getattr__(self, name: str) -> Any:
        def now(*args: Any, **kwargs: Any) -> Any:
            if name == "boom":
                raise SkillError("boom", skill=name, type="Boom", details={"n": 1})
            return args[0] if args else kwargs.get("i", name)

        async def later(*args: Any, **kwargs: Any) -> Any:
            return now(*args, **kwargs)

        def skill(*args: Any, **kwargs: Any) -> Any:
            return (later if asyncio._get_running_loop() else now)(*args, **kwargs)

        return skill


def main(program: Path, result: Path) -> None:
    skills, module = Skills("skills"), types.ModuleType("__main__")
    sys.modules.update(skills=skills, __main__=module)
    vars(skills)["SkillError"] = SkillError
    vars(module).update(skills=skills, SkillError=SkillError, inputs=None, asyncio=asyncio)
    code = compile(program.read_text("utf-8"), "<program>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    ended = eval(code, vars(module))
    if inspect.iscoroutine(ended):
        asyncio.run(ended)
    result.write_text(json.dumps(vars(module).get("result")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
