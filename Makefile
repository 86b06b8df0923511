# Each target sets up what it needs: a virtual environment in .venv, uv in it, and the workspace.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := core plugins/*
INSTALLED := $(VENV)/.installed
space := $(subst ,, )

.PHONY: demo test check bench docs clean

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: $(INSTALLED)
	$(BIN)/pytest --numprocesses auto --dist loadfile

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $(space),:,$(wildcard plugins/*/src)):benchmarks $(BIN)/mypy

bench: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/run.py

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_cli.py

clean:
	rm -rf $(VENV)

# --find-links and indexes come from the caller's own pip and uv configuration.
$(INSTALLED): pyproject.toml constraints.txt $(wildcard core/pyproject.toml plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group dev \
	    $(foreach folder,$(wildcard $(SOURCES)),--editable ./$(folder))
	touch $@
