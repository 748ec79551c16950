import concurrent.futures as cf, queue, threading
total, lock = 0, threading.Lock()
def add(n):
    global total
    for _ in range(n):
        with lock: total += 1
threads = [threading.Thread(target=add, args=(2000,)) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
work, done = queue.Queue(), []
def worker():
    while (item := work.get()) is not None:
        done.append(item * item); work.task_done()
    work.task_done()
pool = [threading.Thread(target=worker, daemon=True) for _ in range(3)]
[t.start() for t in pool]; [work.put(k) for k in range(20)]; [work.put(None) for _ in pool]; work.join()
with cf.ThreadPoolExecutor(4) as executor_:
    squares = list(executor_.map(lambda k: k * k, range(10)))
    futures = {executor_.submit(pow, 2, k): k for k in range(5)}
    print(sorted((futures[f], f.result()) for f in cf.as_completed(futures)))
    bad = executor_.submit(lambda: 1 / 0)
    print(type(bad.exception()).__name__)
gate, seen, local = threading.Event(), [], threading.local()
def waiter(k): local.k = k; gate.wait(); seen.append(local.k)
ws = [threading.Thread(target=waiter, args=(k,)) for k in range(3)]
[w.start() for w in ws]; gate.set(); [w.join() for w in ws]
barrier = threading.Barrier(2); b = threading.Thread(target=barrier.wait); b.start(); barrier.wait(); b.join()
timer = threading.Timer(0.01, seen.append, ["timer"]); timer.start(); timer.join()
print(total, sorted(done), squares, sorted(map(str, seen)), threading.current_thread().name, hasattr(local, "k"))
result = total
