"""The evening report."""

from shop.pricing import gross


def stock_value(products):
    value = 0.0
    for product in products:
        value += product.price * product.stock
    return value


def lines(products):
    for product in products:
        mark = "!" if product.is_sold_out else " "
        yield f"{mark} {product.sku:<8} {product.name:<24} {product.stock:>5} {gross(product.price, product.category):>8.2f}"


def by_category(products):
    groups = {}
    for product in products:
        groups.setdefault(product.category, []).append(product)
    return groups


def render(products):
    parts = []
    for category, members in sorted(by_category(products).items()):
        parts.append(category.upper())
        parts.extend(lines(members))
        parts.append(f"  value {stock_value(members):.2f}")
    return "\n".join(parts)
