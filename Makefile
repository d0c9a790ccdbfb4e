# `make demo` and `make test` need Python >= 3.10, a C compiler and make; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps

# What an installation depends on. It is editable, so the Python files of fastnn/ are used as they stand.
SOURCES := setup.py pyproject.toml $(shell find kernels -name '*.py[xd]' -o -name '*.pxi' -o -name '*.h')

.DEFAULT_GOAL := help
.PHONY: help demo test lint build bench clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

demo: $(STAMPS)/demo  ## train the demonstration's networks, write pictures/
	$(BIN)/fastnn demo

test: $(STAMPS)/test  ## run the tests (ARGS="-k matmul": some of them)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMPS)/lint  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build: $(STAMPS)/lint  ## compile the kernels in place

bench: $(STAMPS)/bench  ## time fastnn against NumPy and whatever else is installed
	$(BIN)/python -m bench $(ARGS)

clean:  ## remove all that make made
	rm -rf $(VENV) build dist pictures *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f kernels/*.c kernels/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp an extra: installed, together with the compiled kernels, from these sources.
$(STAMPS)/%: $(SOURCES) | $(STAMPS)
	$(BIN)/pip install --quiet --editable '.[$*]'
	touch $@

$(STAMPS):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "fastnn needs Python >= 3.10: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	mkdir $(STAMPS)
