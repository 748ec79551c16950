"""Decide: deterministic, replayable, no I/O. Imports the floor only, calls activities through its typed references."""
