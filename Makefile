.DEFAULT_GOAL := help
BIN := .venv/bin
IMAGE ?=
FILE ?= tests/data/policy_examples.yaml
.PHONY: help setup run check test test-long fix bench docs policy-vectors

help: ## show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install what is missing: system packages by apt, Python packages into .venv
	@scripts/setup run

run: setup ## start the service and put in a first real image; IMAGE=file takes your own
	@exec scripts/run "$(IMAGE)"

check: setup ## linter, formatter, strict types, order of rooms
	@$(BIN)/ruff check -q src tests bench
	@$(BIN)/ruff format --check -q src tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports --no-logo

test: ## set up and run every test, PostgreSQL and S3 servers included
	@scripts/setup test
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not long" tests

test-long: ## fuzz and load
	@scripts/setup test
	@$(BIN)/python -m pytest -q -m long tests

fix: setup ## format and mend what the linter can
	@$(BIN)/ruff check --fix -q src tests bench
	@$(BIN)/ruff format -q src tests bench

bench: setup ## measure against limits taken in the same run; writes bench/results/
	@$(BIN)/python -m bench

docs: setup ## write docs/reference from the tables, the settings and the commands
	@$(BIN)/python -m calotype.cli.reference docs/reference

policy-vectors: setup ## evaluate a vector file: make policy-vectors FILE=vectors.yaml
	@$(BIN)/calotype policy test "$(FILE)"
