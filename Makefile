# Paths here are relative on purpose: GNU make cannot hold a path with a space, and the folder may have one.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.PHONY: help setup demo up test quick check bench clean

# A virtual environment of the caller is not ours, and would be taken for it.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH UV_PROJECT_ENVIRONMENT

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: .venv/.ready ## from a sentence to a report, with sandbox and worker killed, and the proof
	@.venv/bin/holdfast demo

up: .venv/.ready ## start server, worker and API on this machine
	@.venv/bin/holdfast up

test: .venv/.ready ## all tests but the slow ones (at most 10 minutes)
	@.venv/bin/poe -q test

quick: .venv/.ready ## format, lint, types, import rules, unit tests
	@.venv/bin/poe -q quick

check: .venv/.ready ## everything, the slow tests too (at most 45 minutes)
	@.venv/bin/poe -q check

bench: .venv/.ready ## beside other engines, growth, recovery; writes docs/performance.md (ARGS=--quick: a try; see bench/README.md)
	@.venv/bin/python -m bench $(ARGS)

setup: .venv/.ready ## bring uv and the environment; the others do this themselves

.venv/.ready: pyproject.toml .ci/bootstrap
	@sh .ci/bootstrap

clean: ## remove the environment and the tools, not the data
	rm -rf .venv .holdfast/tools
