# kerasd's commands. `make serve` is all that a first run needs.

PORT ?= 8000
DATA ?= data
BENCH ?=
MOMENTS ?= 500
SEED ?= 1
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11 python3
REQUIREMENTS := pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help serve test lint explore bench bench-inference bench-large bench-quality bench-upload torture openapi catalog clean

help:
	@echo "make serve     install what is missing and run the server (PORT=8000 DATA=data PYTHON=python3.12)"
	@echo "make test      check style and types, and run all tests with coverage (JOBS=2 at a time)"
	@echo "make lint      check style and types alone"
	@echo "make explore   run the tests that draw examples with other and more examples"
	@echo "make bench     time training beside its peers (BENCH=--quick, BENCH='--only dense --json readings.json')"
	@echo "make bench-inference  measure predictions beside other servers (BENCH='--servers kerasd,fastapi --network dense')"
	@echo "make bench-upload     time uploads beside writing and hashing the same bytes (BENCH='--megabytes 256')"
	@echo "make bench-large      train on a CSV file larger than memory (BENCH='--megabytes 500 --limit-megabytes 1024'; as root)"
	@echo "make bench-quality    compare the accuracy of \"auto\" with scikit-learn's (BENCH='--only iris,wine --seeds 1')"
	@echo "make torture   kill parts of a running service at random moments (MOMENTS=500 SEED=1)"
	@echo "make openapi   write openapi.yaml anew from the schemas"
	@echo "make catalog   write the catalog of layers anew from the installed Keras"
	@echo "make clean     remove the virtual environment and the caches (never the data)"

serve: $(VENV)/.installed
	@exec $(BIN)/kerasd serve --port "$(PORT)" --data "$(DATA)"

test: lint
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-branch --cov-report=term

explore: $(VENV)/.installed-test
	@$(BIN)/python -m pytest --numprocesses $(JOBS) -m hypothesis --hypothesis-profile explore

lint: $(VENV)/.installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m benchmarks.training $(BENCH)

bench-inference: $(VENV)/.installed-bench-inference
	@$(BIN)/python -m benchmarks.inference $(BENCH)

bench-upload: $(VENV)/.installed-bench-inference
	@$(BIN)/python -m benchmarks.upload $(BENCH)

bench-large: $(VENV)/.installed-bench-inference
	@$(BIN)/python -m benchmarks.large $(BENCH)

bench-quality: $(VENV)/.installed-bench-inference
	@$(BIN)/python -m benchmarks.quality $(BENCH)

torture: $(VENV)/.installed-test
	@CHAOS_MOMENTS="$(MOMENTS)" CHAOS_SEED="$(SEED)" $(BIN)/python -m pytest -s -k test_random_moments tests/end_to_end/test_chaos.py

openapi: $(VENV)/.installed
	@$(BIN)/kerasd openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

catalog: $(VENV)/.installed
	@$(BIN)/python -m service.architecture.generate_catalog

clean:
	rm -rf $(VENV) .bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* openapi.yaml.new

# Each candidate is run, not only looked for: a version manager's shim can be on the PATH and still start nothing.
$(VENV)/.made:
	@for python in $(CANDIDATES); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
			>/dev/null 2>&1; then \
			echo "Making $(VENV) with $$python"; \
			rm -rf $(VENV) && "$$python" -m venv $(VENV) && touch $@ && exit 0; \
			exit 1; \
		fi; \
	done; \
	echo "No Python from 3.11 to 3.13 was found (tried: $(CANDIDATES))." >&2; \
	echo "Install one with its venv module, or name it: make serve PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(VENV)/.installed: $(VENV)/.made $(REQUIREMENTS)
	@echo "Installing kerasd; the first time brings TensorFlow and takes some minutes"
	@$(PIP) install -c constraints.txt -e .
	@$(BIN)/python -m compileall -q service
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo "Installing what the benchmarks need; benchmarks/README.md tells how to have PyTorch without its GPU libraries"
	@$(PIP) install -c constraints.txt -e '.[bench]'
	@touch $@

$(VENV)/.installed-bench-inference: $(VENV)/.installed
	@echo "Installing what the benchmarks of inference need; their peers are installed into .bench by themselves"
	@$(PIP) install -c constraints.txt -e '.[bench-inference]'
	@touch $@
