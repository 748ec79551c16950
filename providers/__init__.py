"""Talk to models: one module a wire format, and the table of those that there are."""
