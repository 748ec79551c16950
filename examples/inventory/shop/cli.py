"""The command line: import, reorder, report, find."""

import sys
from datetime import date

from shop import importer, reorder, report, suppliers
from shop.counter import next_number
from shop.store import Store


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    command, rest = (arguments[0], arguments[1:]) if arguments else ("report", [])
    store = Store()
    if command == "import":
        for product in importer.read_products(rest[0]):
            store.save(product)
        for movement in importer.read_movements(rest[1]):
            store.book(movement.sku, movement.quantity)
    elif command == "reorder":
        order(store, importer.read_movements("data/movements.csv"))
    elif command == "find":
        print("\n".join(report.lines(store.search(" ".join(rest)))))
    else:
        print(report.render(store.all()))


def order(store, movements):
    known = suppliers.load()
    for line in reorder.plan(store.all(), movements, date.today()):
        supplier = known.get(line.product.supplier)
        if supplier is None:
            print(f"no supplier for {line.product.sku}")
            continue
        print(f"order {next_number()}")
        print(suppliers.order_text(supplier, [line]))


if __name__ == "__main__":
    main()
