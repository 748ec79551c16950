"""The functions that offline programs are put together from. They run in the box: `providers.offline.program` copies
their text, so a function may use only what `parts.header` imports, and others of these modules."""
