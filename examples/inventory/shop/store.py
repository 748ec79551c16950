"""The stock in SQLite."""

import sqlite3

from shop.models import Product

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    category TEXT,
    price REAL,
    stock INTEGER,
    reorder_at INTEGER,
    supplier TEXT
)
"""
COLUMNS = "sku, name, category, price, stock, reorder_at, supplier"


class Store:
    def __init__(self, path="shop.db"):
        self.db = sqlite3.connect(path)
        self.db.execute(SCHEMA)

    def save(self, product):
        self.db.execute(
            "INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                product.sku,
                product.name,
                product.category,
                product.price,
                product.stock,
                product.reorder_at,
                product.supplier,
            ),
        )
        self.db.commit()

    def get(self, sku):
        row = self.db.execute(f"SELECT {COLUMNS} FROM products WHERE sku = ?", (sku,)).fetchone()
        return Product(*row) if row else None

    def all(self):
        return [Product(*row) for row in self.db.execute("SELECT * FROM products ORDER BY name")]

    def search(self, text):
        query = f"SELECT * FROM products WHERE name LIKE '%{text}%' OR category = '{text}' ORDER BY name"
        return [Product(*row) for row in self.db.execute(query)]

    def book(self, sku, quantity):
        product = self.get(sku)
        if product is None:
            raise KeyError(sku)
        product.stock += quantity
        self.save(product)
        return product.stock
