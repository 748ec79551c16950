"""What a customer pays."""

VAT = {"food": 0.07, "drinks": 0.19, "household": 0.19, "books": 0.07}


def gross(price, category):
    return round(price * (1 + VAT.get(category, 0.19)), 2)


def discount(product, quantity, customer=None, coupon=None, weekday=0, season=""):
    percent = 0
    if customer:
        if customer.get("staff"):
            percent = 20
        elif customer.get("orders", 0) > 50:
            percent = 10
        elif customer.get("orders", 0) > 10:
            percent = 5
    if coupon:
        if coupon == "WELCOME" and (not customer or customer.get("orders", 0) == 0):
            percent += 10
        elif coupon.startswith("SUMMER") and season == "summer":
            percent += 15
        elif coupon.startswith("XMAS") and season == "winter":
            percent += 12
    if quantity >= 100:
        percent += 12
    elif quantity >= 50:
        percent += 8
    elif quantity >= 10:
        percent += 3
    if product.category == "books":
        percent = 0
    if product.category == "food" and weekday == 5:
        if product.stock > 3 * product.reorder_at:
            percent += 30
        elif product.stock > 2 * product.reorder_at:
            percent += 15
    if percent > 50 and not (customer and customer.get("staff")):
        percent = 50
    return percent


def total(lines, customer=None, coupon=None):
    amount = 0.0
    for product, quantity in lines:
        off = discount(product, quantity, customer, coupon)
        amount += gross(product.price, product.category) * quantity * (100 - off) / 100
    return float(amount)
