import itertools
def countdown(n):
    try:
        while n:
            got = yield n
            n = got if got is not None else n - 1
    finally:
        print("closed at", n)
def chain(*parts):
    total = 0
    for part in parts:
        total += yield from part
    return total
def counted(items):
    n = 0
    for n, item in enumerate(items, 1): yield item
    return n
g = countdown(10)
print(next(g), next(g), g.send(4), next(g)); g.close()
def drive(gen):
    out = []
    while True:
        try: out.append(next(gen))
        except StopIteration as stop: return out, stop.value
print(drive(chain(counted("ab"), counted(range(3)))))
gen = (x * x for x in itertools.count() if x % 3)
print(list(itertools.islice(gen, 5)), dict(zip("abc", itertools.cycle([1, 2]))))
def thrown():
    try: yield 1
    except KeyError as exc: yield f"caught {exc!r}"
t = thrown(); next(t); print(t.throw(KeyError("k")))
async def aticks(n):
    for k in range(n):
        await asyncio.sleep(0); yield k
async def main(): return [k async for k in aticks(4) if k != 2]
result = await main()
