# Twinbeam: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One more than cores: a test of minutes is mostly asleep.
WORKERS ?= 3
SIZE ?= 10
SEED ?= 1
SOAKS := $(wildcard $(addprefix tests/,test_parity.py test_model.py test_soak.py test_kills*.py test_corruption.py test_*_fuzz.py test_late.py test_chaos*.py test_storage_faults.py test_live_changes.py))

.PHONY: help setup demo test soak check format bench clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Makes .venv with everything in it (again only when setup.py changes)

$(READY): setup.py Makefile
	@python=""; \
	for name in $${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do \
	  if command -v "$$name" >/dev/null && "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; then \
	    python="$$name"; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then echo "make setup: no Python 3.11 to 3.14 found; install one or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; fi; \
	if [ ! -x $(BIN)/python ]; then \
	  echo "Making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "make setup: this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }; \
	fi
	@echo "Installing packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,demo]'
	@touch $(READY)

demo: setup ## A year of flights: eleven months as files, one live; both stores, skew measured (under 3 minutes)
	@$(BIN)/python -m examples.flights.demo --project demo

check: setup ## Format, lint, types and import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check ## check, then all tests
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

soak: setup ## The long forms of the tests that try to break it: make soak SIZE=10 SEED=1
	TWINBEAM_SOAK_SIZE=$(SIZE) TWINBEAM_SOAK_SEED=$(SEED) $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -p no:cacheprovider -o faulthandler_timeout=7200 $(SOAKS)

format: setup ## Formats the code and mends what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Speed beside rivals in one table (SCALE=0.1 a quick look, ONLY=reads,storage some)
	@$(BIN)/python -m bench $(if $(SCALE),--scale $(SCALE)) $(if $(ONLY),--only $(ONLY))

clean: ## Removes the demo project and caches (keeps .venv)
	rm -rf demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
