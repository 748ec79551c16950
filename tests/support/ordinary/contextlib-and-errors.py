import contextlib, io, sys, traceback, warnings
@contextlib.contextmanager
def step(name):
    print("enter", name)
    try: yield name.upper()
    except ValueError as exc: print("swallowed", exc)
    finally: print("leave", name)
with step("a") as a, step("b"):
    print(a); raise ValueError("inner")
with contextlib.ExitStack() as stack:
    [stack.enter_context(step(n)) for n in "xy"]; stack.callback(print, "callback")
out = io.StringIO()
with contextlib.redirect_stdout(out): print("hidden")
with contextlib.suppress(ZeroDivisionError): 1 / 0
class Own(Exception):
    def __init__(self, code): super().__init__(f"code {code}"); self.code = code
def fail():
    try: {}["k"]
    except KeyError as exc: raise Own(7) from exc
try: fail()
except Own as exc:
    print(exc.code, repr(exc.__cause__), [f.name for f in traceback.extract_tb(exc.__traceback__)][-1], traceback.format_exception_only(exc))
try:
    raise ExceptionGroup("many", [ValueError(1), TypeError("t"), ExceptionGroup("in", [OSError(2, "no")])])
except* ValueError as g: print("values", g.exceptions)
except* (TypeError, OSError) as g: print("rest", len(g.exceptions))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always"); warnings.warn("careful", stacklevel=1)
def forever(n): return forever(n + 1)
try: forever(0)
except RecursionError as exc: print(type(exc).__name__)
try: assert 1 > 2, "math"
except AssertionError as exc: exc.add_note("a note"); print(exc, exc.__notes__)
def order():
    try: return "try"
    finally: print("finally")
print(order(), str(seen[0].message), out.getvalue(), file=sys.stdout)
try: result = await skills.boom(i=1)
except SkillError as exc: result = [exc.message, exc.skill, exc.type, exc.details]
