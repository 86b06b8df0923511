# Each target sets up what it needs: a virtual environment in .venv, uv in it, and the workspace.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := core plugins/*
# No part of the workspace: a plugin as an outsider writes it, installed because its tests are run with ours.
EXAMPLES := examples/mica-ca-ldap
INSTALLED := $(VENV)/.installed
space := $(subst ,, )
OPENID := tests/interop/openid
PROVIDER := $(OPENID)/node_modules/.installed

.PHONY: demo test check bench docs clean

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

# Half of the time is spent waiting, for daemons and for certificates to expire: two processes more than processors.
test: $(INSTALLED) $(if $(shell command -v npm 2>/dev/null),$(PROVIDER))
	$(BIN)/pytest --numprocesses $$($(BIN)/python -c 'import os; print(2 + os.cpu_count())') \
	    --dist loadfile --no-loadscope-reorder

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $(space),:,$(wildcard plugins/*/src examples/*/src)):benchmarks $(BIN)/mypy

bench: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/run.py

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_hooks.py

clean:
	rm -rf $(VENV) $(OPENID)/node_modules

# The OpenID provider that some tests sign in with. Where there is no npm, or it fails, they are skipped by name.
$(PROVIDER): $(OPENID)/package.json
	cd $(OPENID) && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel error \
	    && touch node_modules/.installed || echo "The tests with oidc-provider are skipped." >&2

# --find-links and indexes come from the caller's own pip and uv configuration.
$(INSTALLED): pyproject.toml constraints.txt $(wildcard core/pyproject.toml plugins/*/pyproject.toml) \
    $(EXAMPLES:=/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group dev \
	    $(foreach folder,$(wildcard $(SOURCES)) $(EXAMPLES),--editable ./$(folder))
	touch $@
