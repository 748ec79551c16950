values = [skills_ for skills_ in map(str, range(3))]
import skills as s
from skills import echo
print(await s.echo(i="a"), await echo(i={"nested": [1, None, "é"]}), await skills.some_other(x=1), await skills.echo([1.5, True]))
seen = {}
for k in range(5):
    seen[k] = (await skills.echo(i=k)) ** 2
    if seen[k] > 8: break
else: print("never")
try: await skills.boom(i=1)
except s.SkillError as exc: print(str(exc), exc.type, isinstance(exc, Exception))
class Client:
    async def fetch(self, *ids): return {i: r for i, r in zip(ids, await asyncio.gather(*[skills.echo(i=i) for i in ids]))}
print(await Client().fetch("x", "y"), [x async for x in (await skills.echo(i=n) for n in range(3))], {k: await skills.echo(k) for k in "ab"})
result = seen
