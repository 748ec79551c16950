import argparse, ast, cProfile, doctest, inspect, io, logging, operator, pprint, sched, sys, time, timeit, types, unittest, gc, weakref, graphlib, ipaddress, colorsys
log = logging.getLogger("shop"); handler = logging.StreamHandler(sys.stdout); handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
log.addHandler(handler); log.setLevel("INFO"); log.info("started %d", 3); log.debug("no"); log.propagate = False
try: 1 / 0
except ZeroDivisionError: log.error("bad", exc_info=False)
parser = argparse.ArgumentParser("tool"); parser.add_argument("--n", type=int, default=1); parser.add_argument("names", nargs="*")
print(parser.parse_args(["--n", "5", "a", "b"]), parser.format_usage().strip())
def double(x):
    '''
    >>> double(2)
    4
    '''
    return x * 2
class T(unittest.TestCase):
    def test_a(self): self.assertEqual(double(3), 6)
    def test_b(self):
        with self.assertRaises(TypeError): double(None)
outcome = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromTestCase(T))
runner = doctest.DocTestRunner(); [runner.run(t) for t in doctest.DocTestFinder().find(double, "double", globs={"double": double})]
print(outcome.testsRun, outcome.wasSuccessful(), runner.summarize(verbose=False), inspect.signature(double), ast.dump(ast.parse("a + 1", mode="eval")), ast.literal_eval("{'a': (1, 2)}"))
profile = cProfile.Profile(); profile.enable(); double(1); profile.disable(); print(len(profile.getstats()) > 0, timeit.timeit("1 + 1", number=10) >= 0)
s, order = sched.scheduler(time.monotonic, time.sleep), []
s.enter(0.002, 1, order.append, ["second"]); s.enter(0.001, 1, order.append, ["first"]); s.run()
class Node: pass
n = Node(); ref = weakref.ref(n); del n; gc.collect()
pprint.pprint({"k": list(range(30)), "b": {"c": "x" * 30}}, width=60)
print(order, ref() is None, [*graphlib.TopologicalSorter({"b": {"a"}, "c": {"b"}}).static_order()], ipaddress.ip_network("10.0.0.0/30").num_addresses, colorsys.rgb_to_hsv(1, 0.5, 0))
ns = types.SimpleNamespace(a=1); exec("def made(x): return x + 1", vars(ns)); print(ns.made(2), eval("1 + 2 * 3"), operator.itemgetter(1)("ab"), sys.version_info >= (3, 11), sys.maxsize, sys.byteorder)
result = [m for m in ("__main__",) if __name__ == m]
