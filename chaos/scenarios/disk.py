"""A program that fills its box's disk: that is its own error, and it goes on."""

from chaos.scenario import Scenario, program

_SOURCE = """
import os

before = skills.note(i=1, ms=60)["i"]
full = False
try:
    for number in range(64):
        with open(f"ballast-{number}", "wb") as file:
            file.write(b"x" * (1 << 20))
except OSError as exc:
    full = exc.errno == 28
for name in os.listdir():
    if name.startswith("ballast"):
        os.remove(name)
result = [full, before, skills.note(i=2, ms=60)["i"]]
"""

SCENARIO = Scenario(
    name="disk",
    about="fills the disk of its box",
    body=program(_SOURCE),
    output=[True, 1, 2],
    calls=2,
)
