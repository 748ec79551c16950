"""The floor of holdfast: what every room shares. It imports none of the rooms."""

__version__ = "0.0.1"
