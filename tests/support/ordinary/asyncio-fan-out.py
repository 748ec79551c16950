import time
async def one(k, gate):
    async with gate:
        value = await skills.echo(i=k)
        await asyncio.sleep(0.001 * (k % 3))
        return value * 2
async def main():
    gate = asyncio.Semaphore(4)
    doubled = await asyncio.gather(*(one(k, gate) for k in range(20)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(k, gate), name=f"t{k}") for k in range(5)]
    print(doubled, [t.result() for t in tasks], tasks[2].get_name())
    both = await asyncio.gather(skills.echo(1), skills.boom(i=2), return_exceptions=True)
    print(both[0], repr(both[1]), [await f for f in asyncio.as_completed([skills.echo(7)])])
    try:
        async with asyncio.timeout(0.01): await asyncio.sleep(0.2)
    except TimeoutError: print("timed out")
    try: await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.TimeoutError: print("waited")
    queue, out = asyncio.Queue(maxsize=2), []
    async def produce():
        for k in range(6): await queue.put(k)
        await queue.put(None)
    async def consume():
        while (item := await queue.get()) is not None: out.append(await skills.echo(item))
    await asyncio.gather(produce(), consume())
    task = asyncio.create_task(asyncio.sleep(10)); await asyncio.sleep(0); task.cancel()
    try: await task
    except asyncio.CancelledError: print("cancelled", task.cancelled())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(10)); group.create_task(skills.boom(i=1))
    except* SkillError as failed: print("group", [e.skill for e in failed.exceptions])
    lock, order = asyncio.Lock(), []
    async def turn(k):
        async with lock: order.append(k); await asyncio.sleep(0)
    await asyncio.gather(*map(turn, range(4)))
    print(out, order, await asyncio.to_thread(sum, [1, 2, 3]), await asyncio.get_running_loop().run_in_executor(None, max, 4, 5))
    done, pending = await asyncio.wait([asyncio.create_task(skills.echo(k)) for k in range(3)], return_when=asyncio.ALL_COMPLETED)
    return sorted(t.result() for t in done), len(pending)
result = await main()
