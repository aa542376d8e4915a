# Everything a fresh machine needs, from Python 3.11+ and make alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test chaos bench check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## run the main job on a small manifest: images, metadata.parquet, usage rows
	$(BIN)/imagen run manifests/demo.yaml --out runs/demo
	@echo "the pictures: $(CURDIR)/runs/demo/images"

test: $(VENV)/.installed-dev tmux check ## everything that must pass before a change lands
	$(BIN)/pytest -n 2 --dist worksteal

chaos: $(VENV)/.installed-dev ## kill a paid batch of 300 jobs 50 times and count what was billed
	IMAGEN_CHAOS_KILLS=50 $(BIN)/pytest -s tests/flows/test_chaos.py

SIZE ?= full
bench: $(VENV)/.installed-dev ## measure speed and memory (an hour; SIZE=small: minutes); writes docs/benchmarks.*
	$(BIN)/python -m benchmarks --size $(SIZE)

check: $(VENV)/.installed-dev ## formatting, lint, types and the import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## write the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what the targets made, generated images too
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: tmux
tmux:
	@command -v tmux >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y tmux; } >/dev/null 2>&1 \
	  || echo "NOT RUN: tmux is missing and could not be installed; the tests of the caller's tmux pane will be skipped"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "imagen needs Python 3.11 or later; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# Dependency groups need pip 25.1.
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $(VENV)/.installed $@
