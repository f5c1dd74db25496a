.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
.PHONY: help setup run check test test-long fix bench docs policy-vectors

help: ## show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install what is missing: system packages by apt, Python packages into .venv
	@scripts/setup run

run: setup ## start the service and put in a first real image; IMAGE=file takes your own
	@scripts/run $(IMAGE)

check: setup ## linter, formatter, strict types, order of rooms
	@.venv/bin/ruff check src tests bench
	@.venv/bin/ruff format --check -q src tests bench
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo >/dev/null || .venv/bin/lint-imports --no-logo

test: ## set up and run every test (fuzz and load are in test-long)
	@scripts/setup test
	@$(MAKE) --no-print-directory check
	@$(PYTHON) -m pytest -q -n 2 --dist loadgroup -m "not long" tests

test-long: ## fuzz and load
	@scripts/setup test
	@$(PYTHON) -m pytest -q -m long tests

fix: setup ## format and mend what the linter can
	@.venv/bin/ruff check --fix -q src tests bench
	@.venv/bin/ruff format -q src tests bench

bench: setup ## measure against limits taken in the same run; writes bench/results/
	@$(PYTHON) -m bench

docs: setup ## write docs/reference from the tables and settings
	@$(PYTHON) -m calotype.cli.reference docs/reference

policy-vectors: setup ## evaluate a vector file: make policy-vectors FILE=vectors.yaml
	@.venv/bin/calotype policy test $(FILE)
