# Set-up on a machine that has Python 3.11 or later, pip and make.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin

.PHONY: help install sweep test test-slow test-cuda test-python lint docs benchmark gallery dist clean

help: ## this list; what `make` alone shows
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## an environment in .venv with freewalk in it (640 MB)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(VENV)/.installed $@

OUT ?=
sweep: install ## run the preset quickstart; OUT=DIR chooses the folder
	$(BIN)/harness sweep --grid quickstart $(if $(OUT),--out '$(OUT)')

test: $(VENV)/.installed-dev ## run the tests, two at a time (WORKERS=2): 20 minutes on two cores (installs 1.7 GB)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(VENV)/.installed-dev ## the tests that take longest, one at a time: campaigns of kills, other processors
	$(BIN)/python -m pytest -m slow

test-cuda: $(VENV)/.installed-dev ## the GPU's tests without a GPU, in the CUDA emulator; needs g++
	$(BIN)/python tests/cuda_emulator/run.py -m pytest -m gpu \
		tests/harness/engine/test_cuda_pauses.py $(addprefix tests/kernels/cuda/test_cuda_,on_a_gpu.py tables.py task_data.py family_on_a_gpu.py)

test-python: dist ## what another Python may change, tested on it: PYTHON=python3.13; AGE=oldest: oldest dependencies
	.ci/interpreter $(PYTHON) $(AGE)

lint: $(VENV)/.installed-dev ## linters, types and the rooms' import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev ## the documentation as a site in build/docs; a warning fails
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky docs build/docs

benchmark: $(VENV)/.installed-dev ## pytest-benchmark comparisons
	$(BIN)/python -m pytest benchmarks --benchmark-only

gallery: install ## the README's pictures and lines, from a real sweep
	docs/gallery/make $(BIN)/harness

dist: install ## source distribution and wheel in dist, the same wheel from both
	$(BIN)/pip install --quiet build
	.ci/distributions $(BIN)/python

clean: ## remove environments, builds and caches
	rm -rf $(VENV) .ci-venv build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
