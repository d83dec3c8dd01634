# `make demo` and `make test` set up everything they need in .venv, once, and reuse it.
PYTHON ?= python3
VENV := .venv
OUT := runs/digits-$(shell date +%Y%m%d-%H%M%S)
RUN := $(VENV)/bin/python

.PHONY: demo test check format site clean

demo: $(VENV)/installed
	$(RUN) examples/digits.py --out $(OUT)

test: check
	$(RUN) -m pytest -n 2 --dist worksteal

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

site: $(VENV)/installed-dev
	$(RUN) docs/build_site.py

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

$(VENV)/bin/python:
	@$(PYTHON) -c "import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f'Python 3.11 or newer is needed, found {v[0]}.{v[1]}: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[pytorch-adapt]"
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build runs .mypy_cache .ruff_cache .pytest_cache *.egg-info
