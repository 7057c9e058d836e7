VENV ?= .venv
PYTHON ?= python3
RUN := $(VENV)/bin
DEMO := runs/adapter/demo
T := runs/tiny
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-all lint tiny clean check-gl

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[people,bundle,test,dev]'
	@touch $@

setup: $(STAMP)  ## Make the virtual environment with pinned dependencies

check-gl:
	@ldconfig -p 2>/dev/null | grep -q libEGL.so.1 && { test -d /usr/share/glvnd/egl_vendor.d || ldconfig -p | grep -q libEGL_mesa; } || \
	  { echo "Rendering people needs EGL with Mesa: sudo apt-get install -y libegl1 libgl1-mesa-dri libgl1"; exit 1; }

demo: check-gl setup  ## Render people, train the adapter, test it (about 20 minutes on two cores)
	$(RUN)/bolid fit --config configs/adapter.yaml --trainer.logger.init_args.version demo
	$(RUN)/bolid test --config configs/adapter.yaml --trainer.logger.init_args.version demo --ckpt_path $(DEMO)/checkpoints/last.ckpt
	@echo
	@echo "checkpoint     $(DEMO)/checkpoints/last.ckpt"
	@echo "adapter        $(DEMO)/adapter/"
	@echo "report         $(DEMO)/report.md and report.json"
	@echo "picture sheet  $(DEMO)/sheet.png"

test: check-gl setup  ## Pass the tests (minutes)
	$(RUN)/python -m pytest

test-all: check-gl setup  ## Pass the slow tests too
	$(RUN)/python -m pytest -m 'not gpu'

lint: setup  ## Check style, types and the direction of imports
	$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy && $(RUN)/lint-imports

# A fit of the bundle: goes on from its last checkpoint, and is done once it has exported.
fit = $(RUN)/bolid fit $(1) $(if $(wildcard $(2)/checkpoints/last.ckpt),--ckpt_path $(2)/checkpoints/last.ckpt)

tiny: check-gl setup $(T)/unet/stable-diffusion $(T)/body_vae/body_vae $(T)/clip_score/clip_score $(T)/pose/pose $(T)/face/face  ## Train the embedded bundle anew (hours; resumes where it stopped)
	$(RUN)/bolid bundle pack

$(T)/vae/vae $(T)/pose/pose $(T)/face/face:
	$(call fit,--config configs/$(patsubst runs/%/,%,$(dir $@)).yaml,$(@D))

$(T)/new: $(T)/vae/vae
	$(RUN)/bolid bundle new $@ $< data/base

$(T)/unet/stable-diffusion: $(T)/new
	$(call fit,--config configs/tiny/unet.yaml,$(@D))

$(T)/clip_score/clip_score: $(T)/new
	$(call fit,--config configs/tiny/clip_score.yaml,$(@D))

$(T)/body_vae_first/body_vae: $(T)/new
	$(call fit,--config configs/body_vae.yaml --config configs/tiny/body_vae.yaml --config configs/tiny/body_vae_first.yaml,$(@D))

$(T)/body_vae/body_vae: $(T)/body_vae_first/body_vae
	$(call fit,--config configs/body_vae.yaml --config configs/tiny/body_vae.yaml,$(@D))

clean:  ## Remove the environment and caches, not runs or data
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info
