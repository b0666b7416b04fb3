PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A module's tests share what they train, so one process runs them; tests/conftest.py orders the modules.
BY_MODULE := --dist loadfile --no-loadscope-reorder

.PHONY: setup demo test test-all docs clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml cpu/setup.py $(wildcard cpu/compare_gan_cpu/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "compare_gan needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@{ $(PIP) 'setuptools>=77' && $(PIP) --no-deps --no-build-isolation ./cpu; } 2> $(VENV)/cpu.log || \
		echo "note: without the C++ kernels ($(VENV)/cpu.log says why) convolutions on a CPU are slower"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@

demo: setup
	$(BIN)/compare-gan demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p compare_gan
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 $(BY_MODULE)

test-all: test
	$(BIN)/pytest -n 2 $(BY_MODULE) -m slow

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build
	@echo "docs/_build/index.html"

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info
