"""What the shop deals in."""

from dataclasses import dataclass, field
from datetime import date


@dataclass
class Product:
    sku: str
    name: str
    category: str
    price: float
    stock: int = 0
    reorder_at: int = 0
    supplier: str = ""
    tags: list[str] = field(default_factory=list)

    @property
    def is_sold_out(self) -> bool:
        return self.stock <= 0


@dataclass
class Movement:
    sku: str
    day: date
    quantity: int
    reason: str = "sale"
    note: str = ""

    @property
    def is_sale(self) -> bool:
        return self.reason == "sale"


@dataclass
class OrderLine:
    product: Product
    quantity: int
    unit_price: float

    @property
    def total(self) -> float:
        return self.quantity * self.unit_price
