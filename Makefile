# xrdstream. Every target does all the set-up itself; that needs Python >= 3.11 and make.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt

# The demonstration: where it works, how long it trains and how many producers work beside the training.
DEMO := demo
DEMO_TIME ?= 5m
DEMO_WORKERS ?= 2
DEMO_PRODUCE ?= --high-watermark 2GB

# The tests to run: files, folders or names as pytest has them.
TESTS ?=

# The soak: how long, and which sequence of accidents.
MINUTES ?= 10
SEED ?= 1

.PHONY: help install dev demo test test-first test-second fast soak lint format docs bench clean

help:
	@echo "make demo    install, then the main job end to end on embedded data, with a report (about 9 minutes on 2 cores)"
	@echo "make dev     the environment with all that tests, linters and docs need, in $(VENV)"
	@echo "make test    all tests; TESTS=tests/common/test_shards.py for some"
	@echo "make fast    all but the slow and the end-to-end tests, on all cores; TESTS= as above"
	@echo "make soak    kill, freeze, cut off, damage and fill for MINUTES=10 with SEED=1, then prove that nothing was lost"
	@echo "make lint    formatting, style, types, imports"
	@echo "make docs    pages of the Python interface in build/docs, from the docstrings"
	@echo "make bench   measured figures as ratios"
	@echo "make install the commands xrdgen and xrdtrain in $(VENV)"
	@echo "make clean   remove $(VENV) and $(DEMO)"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: error: no Python 3.11 to 3.13 found; install one or set PYTHON=" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), with what the tests need ..."
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed
	@echo "done: $(BIN)/xrdgen and $(BIN)/xrdtrain (or: source $(BIN)/activate)"

dev: $(VENV)/.installed-dev
	@echo "done: source $(BIN)/activate"

# All tests, in two parts side by side that take about as long on two cores.
FIRST := tests/gen $(addprefix tests/end_to_end/studies/,test_beyond.py test_gap.py)

test: $(VENV)/.installed-dev
ifeq ($(strip $(TESTS)),)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-first test-second
else
	$(BIN)/python -m pytest $(TESTS)
endif

test-first:
	$(BIN)/python -m pytest -p no:cacheprovider $(FIRST)

test-second:
	$(BIN)/python -m pytest -p no:cacheprovider tests $(addprefix --ignore=,$(FIRST))

fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow and not end_to_end" -n auto --dist worksteal $(TESTS)

soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-dev
	$(BIN)/python -W ignore -m pdoc --docformat google --output-directory build/docs xrdcommon xrdgen xrdtrain
	@echo "done: build/docs/index.html"

bench: $(VENV)/.installed-dev
	@$(PIP) -e '.[dev,bench]'
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) $(DEMO)

# --- the demonstration: every step is a file, so that a killed demo goes on where it was ---

$(DEMO)/amcsd.parquet: | $(VENV)/.installed
	@echo "== 1/6 import the embedded real structures (AMCSD)"
	$(BIN)/xrdgen structures import embedded:amcsd --out $@

$(DEMO)/split/test.parquet: $(DEMO)/amcsd.parquet
	@echo "== 2/6 set the structures of unseen families apart"
	$(BIN)/xrdgen structures split $< --by unseen --statistics embedded:statistics --out $(DEMO)/split

$(DEMO)/statistics.npz: $(DEMO)/split/test.parquet
	@echo "== 3/6 statistics of the others, joined with those of the Materials Project"
	$(BIN)/xrdgen statistics build $(DEMO)/split/train.parquet --merge embedded:statistics-materials-project --out $@

$(DEMO)/test.zarr/zarr.json: $(DEMO)/split/test.parquet
	@echo "== 4/6 diffractograms of the real test crystals"
	$(BIN)/xrdgen freeze $< --out $(DEMO)/test.zarr

demo: $(DEMO)/statistics.npz $(DEMO)/test.zarr/zarr.json
	@echo "== 5/6 produce and train at the same time"
	$(BIN)/xrdtrain fit $(DEMO)/spool --run $(DEMO)/run --test amcsd=$(DEMO)/test.zarr --max-time $(DEMO_TIME) \
		--produce $(DEMO_WORKERS) --produce-options "--statistics $(DEMO)/statistics.npz $(DEMO_PRODUCE)"
	@echo "== 6/6 audit, evaluation, report"
	$(BIN)/xrdtrain evaluate $(DEMO)/run
	$(BIN)/xrdgen audit $(DEMO)/spool
	$(BIN)/xrdtrain report $(DEMO)/run
