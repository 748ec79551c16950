"""What to order, and how much of it."""

from datetime import timedelta

from shop.models import OrderLine

LEAD_DAYS = 7


def due(products):
    """Products whose stock is at or below their reorder point."""
    return [product for product in products if product.stock < product.reorder_at]


def sold_per_day(sku, movements, today, days=28):
    """Mean daily sales of the last `days` days, today included."""
    first = today - timedelta(days=days)
    sold = 0
    for movement in movements:
        if movement.sku == sku and movement.is_sale and movement.day and first <= movement.day <= today:
            sold += -movement.quantity
    return sold / days


def quantity_for(product, movements, today):
    """Enough for the lead time and as much again, in whole units."""
    daily = sold_per_day(product.sku, movements, today)
    wanted = int(daily * LEAD_DAYS * 2) + product.reorder_at - product.stock
    return max(wanted, 1)


def plan(products, movements, today):
    lines = []
    for product in due(products):
        quantity = quantity_for(product, movements, today)
        lines.append(OrderLine(product, quantity, product.price * 0.6))
    return sorted(lines, key=lambda line: (line.product.supplier, line.product.sku))
