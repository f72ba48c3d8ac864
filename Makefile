# make demo    simulate a market, train, score, write the report, and print where to look
# make test    install what tests need and run them all: the fast half, then the slow half
# make pictures  take the README's pictures of the demo (needs chromium)
# make check   lint, types and import contracts
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# In the order of their names: long files first would leave the notebooks, few and slow, for one worker at the end.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
FAST := $(PYTEST) -m "not slow"
SLOW := $(PYTEST) -m slow

.PHONY: demo pictures test test-fast test-slow check lock clean install install-dev

demo: install
	$(BIN)/propensity demo --out demo

pictures: demo
	$(BIN)/python docs/pictures.py demo

test: test-fast test-slow

test-fast: install-dev
	$(FAST)

test-slow: install-dev
	$(SLOW)

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

install: $(VENV)/run.stamp

install-dev: $(VENV)/dev.stamp

$(VENV)/run.stamp: requirements/run.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# Plain pins with hashes, and no address of any registry.
LOCK := $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: install-dev
	$(LOCK) --output-file requirements/run.lock pyproject.toml
	$(LOCK) --extra dev --output-file requirements/dev.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
