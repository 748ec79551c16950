"""Reads the CSV files that the till exports."""

import csv
from datetime import datetime

from shop.models import Movement, Product


def read_products(path):
    products = []
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            products.append(
                Product(
                    sku=row["sku"],
                    name=row["name"],
                    category=row["category"],
                    price=parse_price(row["price"]),
                    stock=int(row["stock"]),
                    reorder_at=int(row["reorder_at"] or 0),
                    supplier=row["supplier"],
                )
            )
    return products


def parse_price(text):
    price = 0.0
    try:
        price = float(text.replace(",", "."))
    except Exception:
        pass
    return price


def parse_day(text):
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y"):
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    return None


def read_movements(path, seen=[]):
    movements = []
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["id"] in seen:
                continue
            seen.append(row["id"])
            movements.append(
                Movement(
                    sku=row["sku"],
                    day=parse_day(row["day"]),
                    quantity=int(row["quantity"]),
                    reason=row["reason"],
                    note=row.get("note") or "",
                )
            )
    return movements
