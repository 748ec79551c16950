"""A worker of every engine, each a program: `python -m bench.workers.<engine>`, in the environment that has it."""
