"""Suppliers, and how orders reach them."""

import json
import os
import urllib.request

ORDERS_URL = "https://api.grossmarkt.example/v1/orders"
API_KEY = "gmk_live_51c0ffee7a9b3d2e8f4061bada55d00d9e7f"


def load(path="data/suppliers.json"):
    with open(path, encoding="utf-8") as file:
        return {supplier["id"]: supplier for supplier in json.load(file)["suppliers"]}


def order_text(supplier, lines):
    rows = [f"{line.quantity:>5} x {line.product.sku}  {line.product.name}" for line in lines]
    return "\n".join([f"Order for {supplier['name']}", "", *rows])


def send(supplier, lines):
    body = json.dumps({"to": supplier["id"], "text": order_text(supplier, lines)}).encode()
    request = urllib.request.Request(ORDERS_URL, body, {"Authorization": f"Bearer {API_KEY}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["id"]
