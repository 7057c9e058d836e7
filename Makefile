VENV ?= .venv
PYTHON ?= python3
RUN := $(VENV)/bin
DEMO := runs/adapter/demo
SHIPPED := --config configs/adapter.yaml --trainer.logger.init_args.version demo
TEST := $(RUN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-all lint docs table clean check

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[people,bundle,photos,research,docs,test,dev]'
	@touch $@

setup: $(STAMP)  ## Make the virtual environment with pinned dependencies

check:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "BoLID needs Python 3.11 with venv: sudo apt-get install -y python3 python3-venv, or make PYTHON=..."; exit 1; }
	@for library in libEGL.so.1 libEGL_mesa.so.0 libGL.so.1; do \
	  PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q $$library || \
	  { echo "Rendering people needs EGL with Mesa: sudo apt-get install -y libegl1 libgl1-mesa-dri libgl1"; exit 1; }; done

demo: check setup  ## Render people, train the adapter, test it (15 to 20 minutes on two cores; resumes)
	$(RUN)/bolid fit $(SHIPPED) --ckpt_path last
	$(RUN)/bolid test $(SHIPPED) --ckpt_path $(DEMO)/checkpoints/last.ckpt
	@echo
	@echo "checkpoint     $(DEMO)/checkpoints/last.ckpt"
	@echo "adapter        $(DEMO)/adapter/"
	@echo "report         $(DEMO)/report.md and report.json"
	@echo "picture sheet  $(DEMO)/sheet.png"

test: check setup  ## Pass the tests (minutes)
	$(TEST)

test-all: check setup  ## Pass the slow tests, too, and those that need a CUDA device where there is one
	$(TEST) -m ''

lint: setup  ## Check style, types and the direction of imports
	$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy && $(RUN)/lint-imports

docs: setup  ## Build the documentation into site/, and fail on a broken link
	$(RUN)/mkdocs build --strict

table: check setup  ## Compare all methods and losses (hours; resumes; other chains: workflow/Snakefile)
	$(RUN)/snakemake table losses

clean:  ## Remove the environment and caches, not runs or data
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .snakemake *.egg-info
