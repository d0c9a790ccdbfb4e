# `make demo` and `make test` need Python >= 3.10, a C compiler and make; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps

# What an installation depends on: it is editable, so other Python files are used as they stand.
SOURCES := setup.py pyproject.toml $(wildcard kernels/*.pyx kernels/*.pxi kernels/*.h)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint build bench bench-all clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

demo: $(STAMPS)/demo  ## train the demonstration's networks, draw pictures of them
	$(BIN)/fastnn demo

test: $(STAMPS)/test  ## run the tests (some of them: make test ARGS="-k matmul")
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMPS)/lint  ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build: $(STAMPS)/fastnn  ## compile the kernels

bench: $(STAMPS)/bench  ## time fastnn against NumPy and others, in some minutes (some: make bench ARGS="--case 'matmul/*'")
	$(BIN)/python -m bench --quick $(ARGS)

bench-all: $(STAMPS)/bench  ## the same with every case, in about an hour
	$(BIN)/python -m bench $(ARGS)

clean:  ## remove all that make has made
	rm -rf $(VENV) build dist pictures *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f kernels/*.so
	find fastnn kernels tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/fastnn: $(SOURCES) | $(STAMPS)
	$(BIN)/pip install --quiet --editable .
	@touch $@

# One stamp for each extra. fastnn is there already, so that pip adds only what the extra needs.
$(STAMPS)/%: $(STAMPS)/fastnn
	$(BIN)/pip install --quiet 'fastnn[$*]'
	@touch $@

$(STAMPS):
	@$(PYTHON) -c 'import sys; sys.exit("fastnn needs Python >= 3.10: make PYTHON=..." if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
