# Everything is run through these targets, by people and by the continuous integration alike.
# They need GNU make and Python 3.11 or newer; `setup` makes the rest, once, inside the checkout.
#
#   make run RUN_ARGS="--method lightlayers --k 1 --epochs 5"
#   make test PYTEST_ARGS="tests/guards -q"
#   make setup PYTHON=/usr/bin/python3.12

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

FIND_PYTHON = for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done
PYTHON ?= $(shell $(FIND_PYTHON))
RUN_ARGS ?= --config lightlayers/embedded
# Each process takes one test file at a time.
TWO_PROCESSES = -n 2 --dist loadfile
PYTEST_ARGS ?= $(TWO_PROCESSES) -m "not slow and not ci"

BIN := .venv/bin
INSTALLED := .venv/.installed

# The interpreters that workers start in, where `make setup-gpu` made them.
ifneq ($(wildcard .venv-tf/bin/python),)
export POC_TF_PYTHON ?= $(abspath .venv-tf/bin/python)
endif
ifneq ($(wildcard .venv-torch/bin/python),)
export POC_TORCH_PYTHON ?= $(abspath .venv-torch/bin/python)
endif

.PHONY: help setup setup-gpu run test test-all test-slow lint docs check wheel release clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' Makefile | expand -t 18

setup: $(INSTALLED) .alias/poc  ## make .venv with both frameworks and the tools (several GB, once)

# One pip command, so that the resolver picks a torch and a torchvision that fit each other.
$(INSTALLED): pyproject.toml
	@[ -x $(BIN)/python ] || [ -n "$(PYTHON)" ] || { \
		echo "poc needs Python 3.11 or newer with venv. None was found: install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 2; }
	@[ -x $(BIN)/python ] || { echo "== making .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "== installing poc, TensorFlow, PyTorch and the tools into .venv (several minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	@touch $@

# Their CUDA libraries overwrite each other in one environment. Workers start in these two where
# they exist; `poc doctor` says what each finds.
setup-gpu: setup  ## make .venv-tf and .venv-torch, each with its framework's CUDA libraries
	@[ -x .venv-tf/bin/python ] || $(BIN)/python -m venv .venv-tf
	@[ -x .venv-torch/bin/python ] || $(BIN)/python -m venv .venv-torch
	@echo "== installing TensorFlow with CUDA into .venv-tf and PyTorch with CUDA into .venv-torch"
	@.venv-tf/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[tf]' 'tensorflow[and-cuda]'
	@.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[torch]'
	@echo "== for poc outside of make: export POC_TF_PYTHON=$$PWD/.venv-tf/bin/python POC_TORCH_PYTHON=$$PWD/.venv-torch/bin/python"

# The type checkers read the package through this link (pyproject.toml, tool.mypy).
.alias/poc:
	@mkdir -p .alias
	@ln -sfn .. $@

run: setup  ## train LightLayers in both frameworks and print the comparison
	@$(BIN)/poc compare $(RUN_ARGS)

test: setup  ## run the quick tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: setup  ## run the tests of the continuous integration: all but the slow ones
	@$(BIN)/python -m pytest $(TWO_PROCESSES) -m "not slow"

test-slow: setup  ## run the slow tests, most of them of minutes (before a release)
	@$(BIN)/python -m pytest -m slow

lint: setup  ## style, format, architecture contracts, types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/mypy --cache-dir=/dev/null

# Material announces MkDocs 2, which this site does not use. With --quiet, --strict would see no
# warning.
docs: setup  ## build the docs into site/: a dead link, or a page that no menu names, is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site
	@echo "Written: site/index.html (its search needs a server: $(BIN)/python -m http.server -d site)"

# Never `pip wheel .`: it reuses build/, and a renamed module would stay in the wheel.
wheel: setup  ## build sdist and wheel, then try the wheel outside the checkout
	@rm -rf build dist
	@$(BIN)/python -m build --outdir dist . > .venv/build.log 2>&1 || { cat .venv/build.log; exit 1; }
	@$(BIN)/python tests/helpers/commands/try_wheel.py dist

check: lint test-all docs wheel  ## lint, test-all, docs and wheel

# The notes first: without them there is no release to build.
release: setup  ## build a release into dist/, try it in an empty environment; uploads nothing
	@$(BIN)/python docs/generate/release_notes.py > /dev/null
	@$(MAKE) wheel
	@$(BIN)/python tests/helpers/commands/try_wheel.py dist --empty
	@$(BIN)/python docs/generate/release_notes.py > dist/NOTES.md
	@echo "Written: dist/ with its notes, dist/NOTES.md; docs/versions.md says what comes next"

clean:  ## remove what was built and cached, .venv excepted
	@rm -rf build dist site poc.egg-info .alias .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
