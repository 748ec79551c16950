import functools, itertools as it, operator
print([*it.accumulate([3, 1, 4], max)], [*it.product("ab", repeat=2)][:3], [*it.permutations(range(3), 2)], [*it.combinations_with_replacement("ab", 2)])
print([(k, [*g]) for k, g in it.groupby(sorted("banana"))], [*it.pairwise("abcd")], [*it.zip_longest("ab", "c", fillvalue="-")], [*it.takewhile(lambda x: x < 3, it.count())])
print([*it.starmap(pow, [(2, 5), (3, 2)])], [*it.compress("abc", [1, 0, 1])], [*it.dropwhile(str.isdigit, "12ab3")], [next(t) for t in it.tee("xy")], [*it.batched("abcde", 2)] if hasattr(it, "batched") else "")
@functools.lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.singledispatch
def show(x): return "any"
@show.register
def _(x: int): return "int"
@show.register(list)
def _(x): return [show(i) for i in x]
@functools.total_ordering
class V:
    def __init__(self, v): self.v = v
    def __eq__(self, o): return self.v == o.v
    def __lt__(self, o): return self.v < o.v
class Lazy:
    @functools.cached_property
    def value(self): print("once"); return 7
def logged(f):
    @functools.wraps(f)
    def inner(*a, **k): return f.__name__, f(*a, **k)
    return inner
lazy = Lazy()
print(fib(200), fib.cache_info(), show([1, "a"]), V(2) >= V(1), lazy.value + lazy.value, logged(max)(1, 2), functools.reduce(operator.xor, range(9)))
result = functools.partial(sorted, key=functools.cmp_to_key(lambda a, b: b - a))([3, 1, 2])
