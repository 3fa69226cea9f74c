# Everything a person or CI runs. Each target installs what it needs first and says what it does.
.PHONY: up test lint types bench drills screenshots docs ui browser lock clean help
.DEFAULT_GOAL := help
PY := .venv/bin/python
ARGS ?=

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.installed: requirements/dev.lock pyproject.toml tools/install
	tools/install
	@touch $@

up: .venv/.installed ui ## install, then run the demonstration plant with its page
	.venv/bin/trunkline up examples/plant/site.yaml $(ARGS)

test: .venv/.installed ## install, then run every test
	$(PY) -m pytest $(ARGS)

lint: .venv/.installed ## style, types, layers
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports --config pyproject.toml
	$(PY) -m mypy
