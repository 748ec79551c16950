from concurrent.futures import ThreadPoolExecutor
def review(name):
    try: return skills.echo(i=name.upper())
    except SkillError as exc: return exc.type
names = ["ann", "bob", "cy"]
print([review(n) for n in names], sorted(names, key=lambda n: skills.echo(i=-len(n))))
with ThreadPoolExecutor(3) as pool: print(list(pool.map(lambda n: skills.echo(i=n), range(6))))
def walk(depth): return [skills.echo(i=depth)] + (walk(depth - 1) if depth else [])
try: skills.boom(i=1)
except SkillError as exc: print("failed:", exc)
async def inner(): return await skills.echo(i="inner")
print(asyncio.run(inner()))
result = walk(3)
