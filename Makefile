VENV ?= .venv
, := ,
PYTHON ?= python3
RUN := $(VENV)/bin
DEMO := runs/adapter/demo
T := runs/tiny
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-all lint tiny ablation table losses clean check

# A fit that goes on from its last checkpoint: arguments, run's folder.
fit = $(RUN)/bolid fit $(1) $(if $(wildcard $(2)/checkpoints/last.ckpt),--ckpt_path $(2)/checkpoints/last.ckpt)

# The same, and its score on people of the reserved range.
member = $(call fit,$(1),$(2)) && $(RUN)/bolid test $(1) --ckpt_path $(2)/checkpoints/last.ckpt

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[people,bundle,test,dev]'
	@touch $@

setup: $(STAMP)  ## Make the virtual environment with pinned dependencies

check:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "BoLID needs Python 3.11 with venv: sudo apt-get install -y python3 python3-venv, or make PYTHON=..."; exit 1; }
	@for library in libEGL.so.1 libEGL_mesa.so.0 libGL.so.1; do \
	  PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q $$library || \
	  { echo "Rendering people needs EGL with Mesa: sudo apt-get install -y libegl1 libgl1-mesa-dri libgl1"; exit 1; }; done

demo: check setup  ## Render people, train the adapter, test it (15 to 20 minutes on two cores; resumes)
	$(call fit,--config configs/adapter.yaml --trainer.logger.init_args.version demo,$(DEMO))
	$(RUN)/bolid test --config configs/adapter.yaml --trainer.logger.init_args.version demo --ckpt_path $(DEMO)/checkpoints/last.ckpt
	@echo
	@echo "checkpoint     $(DEMO)/checkpoints/last.ckpt"
	@echo "adapter        $(DEMO)/adapter/"
	@echo "report         $(DEMO)/report.md and report.json"
	@echo "picture sheet  $(DEMO)/sheet.png"

test: check setup  ## Pass the tests (minutes)
	$(RUN)/python -m pytest

test-all: check setup  ## Pass the tests for CUDA devices too
	$(RUN)/python -m pytest -m ''

lint: setup  ## Check style, types and the direction of imports
	$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy && $(RUN)/lint-imports

SCORED := $(patsubst %,$(T)/%/report.json,vae clip_score clip_loss pose face attributes attributes_loss anthropometer anthropometer_loss body_vae_whole)

tiny: check setup $(T)/unet_score/report.json $(T)/words_score/report.json $(SCORED)  ## Train the embedded bundle anew (hours; resumes where it stopped)
	$(RUN)/bolid bundle pack

$(T)/%/report.json:
	$(call member,--config configs/tiny/$*.yaml,$(@D))

$(T)/clip_score/report.json $(T)/clip_loss/report.json: | $(T)/new

FOR_LOSSES := $(T)/attributes_loss/report.json $(T)/anthropometer_loss/report.json
$(T)/attributes/report.json $(T)/anthropometer/report.json $(FOR_LOSSES): | $(T)/vae/report.json

$(FOR_LOSSES): $(T)/%_loss/report.json:
	$(call member,--config configs/tiny/$*.yaml --config configs/tiny/$*_loss.yaml,$(@D))

$(T)/oracle/report.json: | $(T)/unet_opposites/stable-diffusion $(T)/anthropometer/report.json  # both packed: it reads data/tiny

$(T)/new: | $(T)/vae/report.json  # which may be measured again without a new start
	$(RUN)/bolid bundle new $@ $(T)/vae/vae data/base

$(T)/unet/stable-diffusion: $(T)/new
	$(call fit,--config configs/tiny/unet.yaml,$(@D))

PAIRS := $(RUN)/bolid data render data/pairs --photos 4 --opposites true --size '[96,64]'

$(T)/unet_more/stable-diffusion: $(T)/unet/stable-diffusion
	$(RUN)/bolid data render data/base --first 5000 --people 3000 --photos 4 --framing figure --size '[96,64]'
	$(call fit,--config configs/tiny/unet.yaml --config configs/tiny/unet_more.yaml --model.init_args.backbone.init_args.path $<,$(@D))

$(T)/unet_opposites/stable-diffusion: $(T)/unet_more/stable-diffusion
	$(PAIRS) --first 5000 --people 4000 --framing figure
	$(PAIRS) --first 9000 --people 1000 --framing head_and_shoulders
	$(call fit,--config configs/tiny/unet.yaml --config configs/tiny/unet_opposites.yaml --model.init_args.backbone.init_args.path $<,$(@D))

DRAWN := $(RUN)/bolid test --config configs/tiny/unet_score.yaml

$(T)/unet_score/report.json: $(T)/unet_opposites/stable-diffusion
	$(DRAWN) --model.init_args.backbone.init_args.path $<

$(T)/words_score/report.json: $(T)/unet_opposites/stable-diffusion
	$(DRAWN) --config configs/tiny/words_score.yaml --model.init_args.backbone.init_args.path $<

ENCODER := --config configs/body_vae.yaml --config configs/tiny/body_vae.yaml
MORE := $(ENCODER) --config configs/tiny/body_vae_more.yaml

$(T)/body_vae/body_vae: | $(T)/pose/report.json
	$(call fit,$(ENCODER),$(@D))

$(T)/body_vae_more/body_vae: | $(T)/body_vae/body_vae
	$(call fit,$(MORE),$(@D))

$(T)/body_vae_whole/report.json: | $(T)/body_vae_more/body_vae
	$(call member,$(MORE) --config configs/tiny/body_vae_whole.yaml,$(@D))

# Every choice of stage 1 undone in turn, around the papers' x·W, with the same seed and the same steps, a multiple of 100.
STEPS ?= 600
PROBED := --data.init_args.train_people 1500
A := runs/body_ablation_$(STEPS)
ABLATED := $(basename $(notdir $(filter-out %/body_supervised.yaml,$(wildcard configs/experiment/body_*.yaml))))
BODY = --config configs/body_vae.yaml --config configs/experiment/body_sigma_10.yaml --config configs/experiment/$(1).yaml \
  --trainer.logger.init_args.name $(notdir $(A)) --trainer.logger.init_args.version $(1) \
  --trainer.max_steps $(STEPS) --model.init_args.scheduler.init_args.total_steps $(STEPS)

ablation: check setup $(ABLATED:%=$(A)/%/report.json)  ## Measure what each choice of the body encoder buys (hours; resumes)
	$(RUN)/bolid compare --runs $(ABLATED:%=$(A)/%) --out benchmarks/results/body_ablation.json --metrics \
	  retrieval_top1_4view retrieval_top1_1view twin_top1 shape_r2 shape_r2_ratio clothes_leak pose_leak kl_nats

probed = $(call fit,$(call BODY,$(1)),$(@D)) && \
  $(RUN)/bolid test $(call BODY,$(1)) $(PROBED) --ckpt_path $(@D)/checkpoints/last.ckpt

$(A)/body_supervised/report.json:
	$(call probed,body_supervised)

$(A)/%/report.json: | $(A)/body_supervised/report.json
	$(call probed,$*) --model.init_args.probe.supervised $|

# Every way of telling a backbone who is to be drawn, side by side. The oracle and a face branch learn by L_diff, the body
# branch then what the oracle knows, and both go on from there by L_diff alone (plain) or with the other losses: by L_id at
# first (bodies), then by all of them (held), the body branch louder at last (all).
L := runs/table
BASE := --config configs/adapter.yaml
SAME := --config configs/table/common.yaml
GOES_ON = $(if $(wildcard configs/losses/$(1).yaml),--config configs/losses/$(1).yaml) $(SAME) --config configs/table/more.yaml
TOLD_plain = $(SAME) --config configs/table/plain.yaml
TOLD_all = $(call GOES_ON,few_step) --config configs/table/all.yaml
TOLD_bodies = $(call GOES_ON,few_step) --config configs/table/bodies.yaml
TOLD_held = $(call GOES_ON,few_step) --config configs/table/held.yaml
TOLD_image = --config configs/experiment/image_prompt.yaml $(SAME) --config configs/table/image.yaml
TOLD_oracle = $(SAME) --config configs/table/oracle.yaml
# Strength is learned of bodies that are known well.
KNOWN := --data.init_args.min_references 3
named = $(BASE) $(1) --trainer.logger.init_args.version $(notdir $(@D))

# What is tested of the weights of plain and of those of all.
BOTH := one_reference unguided
TESTED := $(foreach run,plain all image oracle scales prior sheet faces $(BOTH) $(BOTH:%=all_%),$(L)/$(run)/report.json)

table: check setup $(TESTED)  ## Compare all columns (hours; resumes)
	$(RUN)/python benchmarks/adapter_table.py $(L) benchmarks/results/adapter_table.json docs/scales.png

$(L)/distilled/adapter: | $(L)/oracle/report.json
	$(call fit,$(call named,$(SAME) --config configs/table/distilled.yaml),$(@D))

$(L)/bodies/adapter: | $(L)/distilled/adapter
	$(call fit,$(call named,$(TOLD_bodies)),$(@D))

$(L)/held/adapter: | $(L)/bodies/adapter
	$(call fit,$(call named,$(TOLD_held) $(KNOWN)),$(@D))

$(L)/all/report.json: | $(L)/held/adapter
	$(call fit,$(call named,$(TOLD_all) $(KNOWN)),$(@D)) && $(call again,all,$(TOLD_all))

$(L)/image/report.json $(L)/oracle/report.json: $(L)/%/report.json:
	$(call member,$(call named,$(TOLD_$*)),$(@D))

# A test of a run's weights: run, its options, overlays.
again = $(RUN)/bolid test $(call named,$(2)) $(3) --ckpt_path $(L)/$(1)/checkpoints/last.ckpt

$(L)/plain/report.json: | $(L)/loss_diffusion/report.json
	$(call again,loss_diffusion,$(TOLD_plain))

$(L)/faces/report.json $(BOTH:%=$(L)/%/report.json): $(L)/%/report.json: | $(L)/plain/report.json
	$(call again,loss_diffusion,$(TOLD_plain),--config configs/table/$*.yaml)

$(L)/scales/report.json $(L)/prior/report.json $(L)/sheet/report.json: $(L)/%/report.json: | $(L)/all/report.json
	$(call again,all,$(TOLD_all),--config configs/table/$*.yaml)

$(BOTH:%=$(L)/all_%/report.json): $(L)/all_%/report.json: | $(L)/all/report.json
	$(call again,all,$(TOLD_all),--config configs/table/$*.yaml --model.init_args.columns '[{name: all$(,) branches: [face$(,) body]}]')

$(L)/body_prior: | $(L)/all/report.json
	$(RUN)/bolid identity prior --folder data/table --out $@

$(L)/prior/report.json: | $(L)/body_prior

# What each loss buys, from the same start.
TERMS := diffusion id id_17 shape opposites clip prompt alignment

losses: check setup $(TERMS:%=$(L)/loss_%/report.json)  ## Measure what each loss of stage 2 buys (hours; resumes)
	$(RUN)/bolid compare --runs $(TERMS:%=$(L)/loss_%) --out benchmarks/results/losses.json --metrics \
	  body_shape_error/all body_shape_slope/all clip_score/clip_score/all pose_error/all adherence/shirt/all \
	  adherence/trousers/all adherence/background/all adherence/pose/all clothes_leak/all fid/clip_score/all

$(TERMS:%=$(L)/loss_%/report.json): $(L)/loss_%/report.json: | $(L)/distilled/adapter
	$(call member,$(call named,$(call GOES_ON,$*)),$(@D))

clean:  ## Remove the environment and caches, not runs or data
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info
