# Everything a person or CI runs. Each target installs what it needs first and says what it does.
#   ARGS="…"   is passed on        ONLY=name   picks one bench or drill        SHORT=1   the short form
.DEFAULT_GOAL := help
.PHONY: help up test lint ui ui-test e2e bench bench-kafka bench-ui drills drills-kafka drills-steps screenshots docs clean

PY := .venv/bin/python
TRUNKLINE := .venv/bin/trunkline
NODE_PATH_FIRST := PATH="$(CURDIR)/.venv/bin:$$PATH"
STAMPS := build/stamps
STATIC := src/trunkline/api/static/index.html
UI_FILES := $(shell find ui -path ui/node_modules -prune -o -type f -print 2>/dev/null)
ARGS ?=
ONLY ?=
SHORT ?=
LOG ?= journal
PICK := $(if $(ONLY),--only $(ONLY)) $(if $(SHORT),--short)

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMPS)/run: requirements/run.lock pyproject.toml tools/install
	@mkdir -p $(STAMPS)
	tools/install run
	@touch $@

$(STAMPS)/dev: requirements/dev.lock pyproject.toml tools/install
	@mkdir -p $(STAMPS)
	tools/install dev
	@touch $@ $(STAMPS)/run

$(STAMPS)/ui: ui/package-lock.json tools/install
	@mkdir -p $(STAMPS)
	tools/install ui
	@touch $@

$(STAMPS)/browser: tools/install
	@mkdir -p $(STAMPS)
	tools/install browser
	@touch $@

$(STAMPS)/kafka: requirements/kafka/pom.xml requirements/kafka/jars.lock tools/install | $(STAMPS)/dev
	@mkdir -p $(STAMPS)
	tools/install kafka
	@touch $@

$(STAMPS)/peers: requirements/kafka/peers.lock | $(STAMPS)/kafka
	tools/install peers
	@touch $@

$(STATIC): $(STAMPS)/ui $(UI_FILES)
	cd ui && $(NODE_PATH_FIRST) npm run --silent build
	@touch $@

ui: $(STATIC) ## build the page

up: $(STAMPS)/run $(if $(filter kafka,$(LOG)),$(STAMPS)/kafka) $(STATIC) ## install, then run the demonstration plant with its page; LOG=kafka: on a real broker
	$(TRUNKLINE) up examples/plant$(if $(filter kafka,$(LOG)),-kafka)/site.yaml $(ARGS)

test: $(STAMPS)/dev $(STAMPS)/kafka ## install, then run every test but the browser's
	$(PY) -m pytest $(ARGS)

lint: $(STAMPS)/dev ## style, types, layers, generated pages
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports --config pyproject.toml
	$(PY) -m mypy
	$(PY) tools/requirements_page.py --check
	$(PY) tools/plugin_docs.py --check
	$(PY) -m trunkline.api.openapi --check
	$(PY) -m trunkline.config.reference --check
	$(PY) -m trunkline.log.reference --check
	$(PY) -m trunkline.processing.alarms.reference --check

ui-test: $(STAMPS)/ui ## types, style and unit tests of the page
	cd ui && $(NODE_PATH_FIRST) npm run --silent typecheck && $(NODE_PATH_FIRST) npm run --silent lint && $(NODE_PATH_FIRST) npm test --silent

e2e: $(STAMPS)/dev $(STAMPS)/browser $(STATIC) ## browser tests against a running plant
	$(NODE_PATH_FIRST) $(PY) tools/with_plant.py npm --prefix ui run --silent e2e

screenshots: $(STAMPS)/dev $(STAMPS)/browser $(if $(filter kafka,$(LOG)),$(STAMPS)/kafka) $(STATIC) ## pictures of every page, dark and light, into build/screenshots
	$(NODE_PATH_FIRST) LOG=$(LOG) $(PY) tools/with_plant.py npm --prefix ui run --silent screenshots -- $(CURDIR)/build/screenshots

bench: $(STAMPS)/dev $(STAMPS)/kafka ## every figure that docs quote, as JSON
	$(PY) -m bench $(PICK) $(ARGS)

bench-kafka: $(STAMPS)/dev $(STAMPS)/kafka $(STAMPS)/peers ## Kafka to PostgreSQL, beside psql, Kafka Connect, a tutorial's consumer
	$(PY) -m bench --suite kafka $(PICK) $(ARGS)

drills: $(STAMPS)/dev $(STAMPS)/kafka ## kill, cut, fill and compare with the ground truth
	$(PY) -m drills $(PICK) $(ARGS)

drills-kafka: $(STAMPS)/dev $(STAMPS)/kafka ## the same on three secured brokers of Apache Kafka
	$(PY) -m drills --kafka $(PICK) $(ARGS)

drills-steps: $(STAMPS)/dev ## kill the roles that make alarms, notifications and rollups, and compare with the script
	$(PY) -m drills --steps $(PICK) $(ARGS)

docs: $(STAMPS)/dev ## generated pages
	$(PY) tools/plugin_docs.py
	$(PY) -m trunkline.config.reference
	$(PY) -m trunkline.log.reference
	$(PY) -m trunkline.api.openapi
	$(PY) tools/requirements_page.py

clean: ## remove what was built
	rm -rf build .venv ui/node_modules src/trunkline/api/static
