import abc, copy
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable
T = TypeVar("T")
class Shape(abc.ABC):
    registry = {}
    def __init_subclass__(cls, /, name=None, **kw):
        super().__init_subclass__(**kw)
        Shape.registry[name or cls.__name__] = cls
    @property
    @abc.abstractmethod
    def area(self): ...
    def __lt__(self, other): return self.area < other.area
    def __repr__(self): return f"{type(self).__name__}({self.area:g})"
class Square(Shape, name="sq"):
    __slots__ = ("side",)
    def __init__(self, side): self.side = side
    @property
    def area(self): return self.side**2
    @classmethod
    def unit(cls): return cls(1)
    def __add__(self, other): return Square((self.area + other.area) ** 0.5)
    def __eq__(self, other): return isinstance(other, Square) and self.side == other.side
    def __hash__(self): return hash(self.side)
class Stack(Generic[T]):
    def __init__(self): self._items = []
    def push(self, item): self._items.append(item); return self
    def __len__(self): return len(self._items)
    def __iter__(self): return reversed(self._items)
    def __getitem__(self, key): return self._items[key]
    def __contains__(self, item): return item in self._items
class Point(NamedTuple):
    x: int
    y: int = 0
@runtime_checkable
class HasArea(Protocol):
    area: float
class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args); made.made = True; return made
class Tracked(metaclass=Meta): pass
class Descriptor:
    def __set_name__(self, owner, name): self.name = name
    def __get__(self, at, owner=None): return self.name if at is None else at.__dict__.get(self.name, 0)
    def __set__(self, at, value): at.__dict__[self.name] = value * 2
class Doubled: value = Descriptor()
try:
    Shape()
except TypeError as exc:
    print(str(exc)[:60])
d = Doubled(); d.value = 4
print(sorted([Square(3), Square.unit(), Square(2)]), Square(3) + Square(4), Shape.registry, isinstance(Square(1), HasArea), Doubled.value, d.value)
print(Point(1)._replace(y=5), Point(*[1, 2])._asdict(), [*Stack().push(1).push(2)], 2 in Stack().push(2), Tracked().made, Square.__mro__)
deep = copy.deepcopy({"a": [Square(2)], "b": Point(1)})
print(deep, deep["a"][0] == Square(2), {Square(2), Square(2)})
class A:
    def f(self): return "A"
class B(A):
    def f(self): return "B" + super().f()
class C(A):
    def f(self): return "C" + super().f()
class D(B, C):
    def f(self): return "D" + super().f()
result = [D().f(), [k.__name__ for k in D.mro()]]
