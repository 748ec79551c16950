"""The running number of orders, kept in a file that all tills share."""

import json
import os


def next_number(path="counter.json"):
    """A number that was never given out before."""
    if not os.path.exists(path):
        with open(path, "w") as file:
            json.dump({"last": 0}, file)
    with open(path) as file:
        last = json.load(file)["last"]
    with open(path, "w") as file:
        json.dump({"last": last + 1}, file)
    return last + 1
