# Two commands do all the set-up: `make demo` and `make test`. Both need Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(shell command -v uv >/dev/null 2>&1 && echo "uv pip install -q --python $(BIN)/python" || echo "$(BIN)/python -m pip install -q --disable-pip-version-check")

.PHONY: demo test lint types fuzz bench bench-gateway test-live train clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "plait needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing plait into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing plait and its development tools into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## solve a hard problem with forked threads, and sequentially beside it
	@$(BIN)/plait solve --compare "Make 92 from 46, 39, 29 and 20"

test: lint types  ## everything that must hold before a change lands
	@$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

fuzz: $(VENV)/.installed-dev  ## a million generated inputs for every machine and checker (FUZZ_INPUTS=N)
	@$(BIN)/python -m tests.fuzz

bench: $(VENV)/.installed  ## docs/benchmarks.md: engine, runtime overhead, eager start, forked against sequential
	@$(BIN)/python -m benchmarks.engine
	@$(BIN)/python -m benchmarks.threads
	@$(BIN)/python -m benchmarks.eager
	@$(BIN)/python -m benchmarks.forked

bench-gateway: $(VENV)/.installed-dev  ## the gateway beside others: conformance, cost, load (20 minutes)
	@$(PIP) psutil
	@bash tests/conformance/gateway/peers.sh
	@$(BIN)/python -m tests.conformance.gateway.peers --markdown docs/gateway-conformance.md
	@$(BIN)/python -m benchmarks.gateway
	@$(BIN)/python -m benchmarks.gateway_load

test-live: $(VENV)/.installed-dev  ## tests against real servers and clients; installs them under .live/
	@bash tests/live/setup.sh
	@$(BIN)/python -m pytest -m live

train: $(BIN)/python  ## make plait-nano again, from nothing
	@$(PIP) -e '.[train]'
	@$(BIN)/python -m training.train
	@$(BIN)/python -m training.export
	@$(BIN)/python -m training.train --run more --start src/plait/weights/nano --minutes 50 --peak 0.5 \
	  --tokens 8192 --shares '{"s3": 0.34, "sequential": 0.24, "apr_call": 0.17, "apr_join": 0.12, "woven": 0.13}'
	@$(BIN)/python -m training.export --checkpoint training/runs/more/last.pt

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
