import unittest
from datetime import date

from shop.importer import parse_day, parse_price
from shop.models import Movement, Product
from shop.pricing import discount, gross
from shop.reorder import due, plan


def tea(stock):
    return Product("TEA-01", "Tee", "food", 2.5, stock=stock, reorder_at=10, supplier="grossmarkt")


class ShopTest(unittest.TestCase):
    def test_low_stock_is_due(self):
        self.assertEqual([product.stock for product in due([tea(3), tea(40)])], [3])

    def test_plan_orders_what_is_sold(self):
        sales = [Movement("TEA-01", date(2026, 3, day), -4) for day in range(1, 29)]
        self.assertEqual([line.quantity for line in plan([tea(2)], sales, date(2026, 3, 28))], [64])

    def test_prices_are_read(self):
        self.assertEqual(parse_price("2,50"), 2.5)
        self.assertEqual(gross(1.0, "drinks"), 1.19)

    def test_german_days_are_read(self):
        self.assertEqual(parse_day("01.03.2026"), date(2026, 3, 1))

    def test_books_have_fixed_prices(self):
        self.assertEqual(discount(Product("B", "Buch", "books", 9.0), 100), 0)


if __name__ == "__main__":
    unittest.main()
