import getpass, inspect, locale, shelve, sqlite3, datetime, pickle, signal, tempfile, threading, time, warnings, os, sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.dummy import Pool
from multiprocessing.pool import ThreadPool
warnings.simplefilter("ignore")
class Own:
    def __init__(self, x): self.x = x
with Pool(3) as pool: print(pool.map(lambda x: x * x, range(5)))
with ThreadPool(2) as pool: print(sorted(pool.imap_unordered(str, range(4))), pool.apply_async(max, (1, 2)).get())
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(40)]
[t.start() for t in threads]; gate.set(); [t.join() for t in threads]
with ThreadPoolExecutor(32) as pool: print(sum(pool.map(lambda k: len(bytearray(k)), range(0, 200_000, 1000))))
with tempfile.TemporaryDirectory() as folder:
    with shelve.open(os.path.join(folder, "s")) as s: s["a"] = [1, Own(2)]
    with shelve.open(os.path.join(folder, "s")) as s: print(s["a"][1].x, list(s))
db = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_DECLTYPES)
db.execute("create table t(d date, ts timestamp)"); db.execute("insert into t values(?, ?)", (datetime.date(2024, 1, 5), datetime.datetime(2024, 1, 5, 7, 8)))
now = datetime.datetime.now()
print(db.execute("select * from t").fetchone(), pickle.loads(pickle.dumps(now)) == now, datetime.datetime.now() >= now, datetime.date.today() >= now.date(), pickle.loads(pickle.dumps(Own(3))).x)
print(locale.setlocale(locale.LC_ALL, ""), bool(getpass.getuser()), os.path.expanduser("~") == os.environ["HOME"], len(bytearray(200 << 20)) >> 20)
seen = []
signal.signal(signal.SIGALRM, lambda *a: seen.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.01)
while not seen: pass
sys.setrecursionlimit(20_000); threading.stack_size(64 << 20)
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
out = []; t = threading.Thread(target=lambda: out.append(deep(15_000))); t.start(); t.join()
files = [tempfile.TemporaryFile() for _ in range(60)]; [f.close() for f in files]
began = time.perf_counter(); time.sleep(0.01)
async def threadsafe():
    loop = asyncio.get_running_loop()
    async def five(): return 5
    return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(five(), loop).result(5))
print(asyncio.run(threadsafe()), time.perf_counter() - began >= 0.01, Own.__module__, seen)
result = out
