import dataclasses as dc, enum
class Level(enum.IntEnum):
    LOW = 1; MID = enum.auto(); HIGH = 10
    @property
    def label(self): return self.name.title()
class Flag(enum.Flag):
    R = 4; W = 2; X = 1
class Kind(enum.StrEnum):
    A = enum.auto(); B = "bee"
@dc.dataclass(order=True, frozen=True, slots=True)
class Item:
    name: str
    price: float = dc.field(compare=False)
    tags: tuple[str, ...] = ()
@dc.dataclass
class Cart:
    items: list[Item] = dc.field(default_factory=list)
    total: float = dc.field(init=False, default=0)
    def __post_init__(self): self.total = sum(i.price for i in self.items)
cart = Cart([Item("b", 2.5), Item("a", 1.25, ("x",))])
print(cart, sorted(cart.items), dc.asdict(cart), dc.replace(cart.items[0], price=9), dc.fields(Item)[1].name, hash(Item("a", 1)) == hash(Item("a", 2)))
print(Level(10), Level.MID + 1, [*Level], Level["LOW"].label, Flag.R | Flag.X, Flag(6), Kind.A, f"{Kind.B}", Kind("bee") is Kind.B, Flag.R in Flag(5))
try:
    cart.items[0].name = "z"
except dc.FrozenInstanceError as exc:
    print(type(exc).__name__, exc)
try:
    Level(3)
except ValueError as exc:
    print(exc)
match cart.items[1]:
    case Item(name="a", price=p) if p > 1:
        result = {"price": p, "level": Level.HIGH, "kind": Kind.B}
