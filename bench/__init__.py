"""The same agent work on several engines against one stub model, in turns in one run: `make bench`. See README.md."""
