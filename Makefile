# The same targets everywhere: `make` alone lists them. Windows without make: python -m workshop …
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/ready
# TORCH_INDEX=ADDRESS takes torch from there, without the CUDA packages: see README, "A small install".
LOCK := $(if $(TORCH_INDEX),.venv/requirements-cpu.txt,requirements.txt)

.PHONY: help setup run test lab site clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 9

setup: $(READY)  ## make .venv and install what requirements.txt lists

run: $(READY)  ## execute every notebook into build/ (ONLY=07: one; DATA=real)
	@$(BIN)/python -m workshop run $(if $(ONLY),--only $(ONLY)) $(if $(DATA),--data $(DATA))

test: $(READY)  ## every check that CI runs
	@$(BIN)/python -m workshop test

lab: $(READY)  ## open JupyterLab on your own copy of the notebooks (PRESENT=1: complete, with slides)
	@$(BIN)/python -m workshop lab $(if $(PRESENT),--present)

site: $(READY)  ## build the complete notebooks as a static site in build/site
	@$(BIN)/python -m workshop site

clean:  ## remove .venv, build/, runs/, samples and caches; no real data, not workbook/
	@if [ -f $(READY) ]; then $(BIN)/python -m workshop clean; fi
	@rm -rf .venv

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11, 4) and 'Python 3.11.4 or newer is needed, this is %d.%d.%d. Try: make PYTHON=python3.12 …' % sys.version_info[:3])"
	@echo "Setting up .venv. The first time this downloads a few gigabytes and takes some minutes."
	@$(PYTHON) -m venv .venv
	@echo "1/2 installing the packages in requirements.txt …"
	@if [ -n "$(TORCH_INDEX)" ]; then grep -vE '^(cuda|nvidia|triton)' requirements.txt > $(LOCK); fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r $(LOCK)
	@echo "2/2 installing this folder …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
	@echo "Set-up done."
