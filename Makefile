# Set-up on a machine that has Python 3.11 or later, pip and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install sweep test test-cuda lint docs benchmark gallery clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

OUT ?=
sweep: install ## run the preset quickstart; OUT=DIR chooses the folder
	$(BIN)/harness sweep --grid quickstart $(if $(OUT),--out '$(OUT)')

test: $(VENV)/.installed-dev ## run the tests
	$(BIN)/python -m pytest

test-cuda: $(VENV)/.installed-dev ## the GPU's tests without a GPU, in the CUDA emulator; needs g++
	$(BIN)/python tests/cuda_emulator/run.py -m pytest -m gpu

lint: $(VENV)/.installed-dev ## linters, types and the rooms' import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev ## the documentation as a site in build/docs; a warning fails
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky docs build/docs

benchmark: $(VENV)/.installed-dev ## pytest-benchmark comparisons
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

gallery: install ## the README's pictures and lines, from a real sweep
	docs/gallery/make $(BIN)/harness

clean:
	rm -rf $(VENV) .ci-venv build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
