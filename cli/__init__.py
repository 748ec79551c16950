"""The `holdfast` command: one module a command group, imported when its command runs."""
