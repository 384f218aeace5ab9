# On a fresh Debian or Ubuntu machine, `make quickstart` and `make test` install all that they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/test.lock
# pip before 25.3 reads the versions of build backends from the first variable, later versions from the second.
LOCKED := PIP_CONSTRAINT=$(LOCK) PIP_BUILD_CONSTRAINT=$(LOCK)
PIP := $(LOCKED) $(BIN)/python -m pip install -q --disable-pip-version-check
# pip compiles on one CPU; some packages have files for other versions of Python
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SLURM_PACKAGES := slurmctld slurmd slurm-client slurmdbd munge mariadb-server iproute2
CLUSTER_PACKAGES := $(SLURM_PACKAGES) shellcheck debootstrap

.DEFAULT_GOAL := help
.PHONY: help quickstart test extended check docs pictures lock cluster stops generations golden benchmarks clean

help:             ## show this help
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' Makefile | expand -t 14

quickstart: $(VENV)/.train   ## train on this machine: the run is preempted in the middle, and resumes
	@$(BIN)/python examples/quickstart.py

test: ready   ## style, wording, types, and all tests except those of `make extended`; includes a real Slurm cluster
	@tools/test

extended: ready   ## the slowest tests, then those without a cluster on the lowest and newest versions
	@tools/test --extended
	@$(SUDO) $(BIN)/python -m tests.slurm.stop_matrix
	@tools/ranges lowest
	@tools/ranges newest

check: $(VENV)/.test   ## style, wording and types only
	@tools/check

docs: $(VENV)/.test   ## build the documentation into site/; a broken link is an error
	@for script in job_spec commands python_api answers states diagnoses translations; do $(BIN)/python tools/docs/$$script.py || exit; done
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html in a browser"

pictures: ready   ## redraw the pictures of the documentation from real runs
	@$(BIN)/python tools/docs/recording.py
	@$(SUDO) $(BIN)/python tools/docs/pictures_of_commands.py
	@$(SUDO) $(BIN)/python tools/docs/picture_of_report.py

lock: $(VENV)/.test   ## update requirements/test.lock to the newest versions that pyproject.toml allows
	@tools/lock
	@echo "updated $(LOCK); make test installs these versions"

cluster: $(VENV)/.train slurm-packages   ## start a four-node Slurm on this machine, with a shell
	@$(SUDO) $(BIN)/python -m tests.slurm.play

stops: ready   ## test the stops of a run on three generations of Slurm; writes docs/reference/slurm-stops.md
	@$(SUDO) $(BIN)/python -m tests.slurm.stop_matrix $(CELLS)

generations: ready   ## test how three generations of Slurm handle a run; writes docs/reference/slurm-generations.md
	@$(SUDO) env CLUSTERRUN_GENERATIONS="$(or $(CELLS),all)" $(BIN)/python -m pytest -q tests/slurm/test_generations.py

golden: $(VENV)/.test   ## rewrite the golden scripts; review the diff before you commit
	@CLUSTERRUN_GOLDEN=write $(BIN)/python -m pytest -q tests/planning/test_script.py tests/planning/test_sections.py -k 'golden or version'

benchmarks: ready   ## compare with the alternatives; results in benchmarks/results
	@$(SUDO) $(BIN)/python benchmarks/startup.py
	@$(SUDO) $(BIN)/python benchmarks/desk.py
	@$(BIN)/python benchmarks/chaos.py
	@$(BIN)/python benchmarks/overhead.py
	@$(SUDO) $(BIN)/python benchmarks/handover.py
	@$(SUDO) $(BIN)/python benchmarks/handover.py --stops preemption time-limit --cgroup
	@$(SUDO) $(BIN)/python benchmarks/goodput.py
	@$(BIN)/python benchmarks/simulate.py

# The virtual environment: Debian's python3 may lack venv, so its package is installed, with a message.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "installing Debian package python3-venv"; $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv >/dev/null; }
	@echo "creating a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# Versions are locked, including those of build backends, so that results do not depend on the day. torch is installed first,
# on its own, in the build that pip selects for the machine. PyPI's build for Linux depends on several gigabytes of CUDA
# libraries, in versions that torch itself pins; the lock does not list them.
$(VENV)/.train: pyproject.toml requirements/torch.txt $(LOCK) | $(VENV)/bin/python
	@echo "installing torch, accelerate, transformers, datasets and clusterrun into $(VENV), in locked versions (a few minutes)"
	@$(PIP) --no-compile -r requirements/torch.txt
	@$(PIP) --no-compile -e '.[train]'
	@$(COMPILE)
	@touch $@

$(VENV)/.test: $(VENV)/.train
	@echo "installing the test dependencies into $(VENV), in locked versions"
	@$(PIP) -e '.[train,test,sbatch,docs]'
	@touch $@

# Python's packages and Debian's are installed at the same time.
.PHONY: ready slurm-packages cluster-packages
ready: | $(VENV)/bin/python
	@$(MAKE) --no-print-directory -j2 $(VENV)/.test cluster-packages

# install_missing PACKAGES: a recipe line
define install_missing
	@dpkg-query -W -f '$${Status}\n' $(1) 2>/dev/null | grep -c 'ok installed' | grep -qx $(words $(1)) || { \
	  echo "installing Debian packages: $(1)"; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }
endef

slurm-packages:
	$(call install_missing,$(SLURM_PACKAGES))

cluster-packages:
	$(call install_missing,$(CLUSTER_PACKAGES))
	@for program in chromium zsh fish; do command -v $$program >/dev/null || { \
	  echo "installing Debian package $$program for the tests of reports and completion"; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$program >/dev/null || \
	  echo "$$program is not available: the tests that need it are skipped"; }; done

clean:            ## remove build output and caches; runs are kept
	@rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
