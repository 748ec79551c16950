import array, bisect, heapq, queue
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
graph = {"a": {"b": 7, "c": 3}, "b": {"d": 2}, "c": {"b": 1, "d": 8}, "d": {}}
def shortest(start):
    best, heap = {start: 0}, [(0, start)]
    while heap:
        cost, node = heapq.heappop(heap)
        if cost > best[node]: continue
        for to, weight in graph[node].items():
            if cost + weight < best.get(to, 1e9):
                best[to] = cost + weight
                heapq.heappush(heap, (best[to], to))
    return best
print(shortest("a"), heapq.nlargest(2, [3, 9, 4]), [*heapq.merge([1, 4], [2, 3])], bisect.bisect([1, 3, 3, 5], 3))
print(Counter("mississippi").most_common(2), Counter(a=3) - Counter(a=1, b=2), deque([1, 2, 3], maxlen=2), ChainMap({"a": 1}, {"a": 2, "b": 3})["b"])
od = OrderedDict(a=1, b=2); od.move_to_end("a"); dd = defaultdict(list); dd["x"].append(1)
class Lower(UserDict):
    def __setitem__(self, key, value): super().__setitem__(key.lower(), value)
print(od, dd, Lower(A=1), namedtuple("P", "x y", defaults=[0])(1), array.array("i", [1, 2]).tobytes(), {"a": 1} | {"b": 2}, {1, 2} ^ {2, 3})
pq = queue.PriorityQueue(); [pq.put(k) for k in (3, 1, 2)]
result = [pq.get() for _ in range(3)]
