"""Alembic's scripts. They import nothing of holdfast: what a revision did must not change with the code of today."""
