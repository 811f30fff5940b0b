# From a fresh clone, `make demo` and `make test` need Python 3.11 or newer and pip; they set up the rest by themselves.

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 install` chooses another.
PYTHON  ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
             "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
# Extra words for the program behind a target: `make test ARGS="-k share"`, `make bench ARGS="--quick --only latency"`.
ARGS    ?=
# How long the soaks are.
SEEDS   ?= 1000
KILLS   ?= 300
ROUNDS  ?= 100

.DEFAULT_GOAL := help
.PHONY: help install demo test sim sim-soak sim-variants soak-kills soak-blackbox bench scale bench-peers lint bubblewrap clean

help: ## Show what can be made.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

install: $(STAMP) ## Set up .venv with syftd and its tools.

$(STAMP): pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
	  echo "syftd needs Python 3.11 or newer, and none was found as python3 or python3.11 to python3.14."; \
	  echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv · Fedora: dnf install python3 · macOS: brew install python),"; \
	  echo "or name yours:  make PYTHON=/path/to/python install"; exit 1; fi
	@if "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then "$(PYTHON)" -m venv $(VENV); \
	elif "$(PYTHON)" -m pip --version >/dev/null 2>&1; then "$(PYTHON)" -m venv --without-pip $(VENV); \
	else echo "$(PYTHON) can make no virtual environment and has no pip. On Debian and Ubuntu:  apt-get install python3-venv"; exit 1; fi
	@echo "Installing syftd and its tools into $(VENV) …"
	@if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
	$$pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) bubblewrap ## Two real daemons, one reviewed job on real data, in seconds.
	$(BIN)/syftd demo $(ARGS)

test: $(STAMP) bubblewrap ## Run every test.
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

sim: $(STAMP) ## Simulate SEEDS fresh worlds with faults, or tell one again: make sim SEED=17
	$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

sim-soak: $(STAMP) ## Simulate 100,000 worlds and print how often each fault and each check happened.
	$(BIN)/python -m tests.sim --seeds $(if $(filter command line,$(origin SEEDS)),$(SEEDS),100000) --coverage $(ARGS)

sim-variants: $(STAMP) ## Break the code on purpose, in many ways, and see that the simulator notices each.
	$(BIN)/python -m tests.sim --variants $(ARGS)

soak-kills: $(STAMP) bubblewrap ## 300 sudden ends of real daemons at random moments (KILLS=1000 for more); ten minutes or so.
	SYFT_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -s tests/journeys/test_kills.py -k random_moments $(ARGS)

soak-blackbox: $(STAMP) ## 100 rounds of people who write, read, delete and wait (ROUNDS=1000 for more); each sight explained.
	SYFT_TEST_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -s tests/blackbox/test_blackbox.py $(ARGS)

bench: $(STAMP) bubblewrap ## Measure speed and weight; beside Syncthing and rclone where they are installed.
	$(BIN)/python -m tests.bench $(ARGS)

scale: $(STAMP) ## Measure what a change costs as files and peers grow: 1 to 1,000,000 and 1 to 1,000.
	$(BIN)/python -m tests.scale $(ARGS)

lint: $(STAMP) ## Style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Installs system packages when this account may do so without being asked for a password, and says what to do otherwise.
define system_packages
	@missing=""; for need in $(1); do command -v "$${need%%=*}" >/dev/null 2>&1 || missing="$$missing $${need##*=}"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then may=""; elif sudo -n true 2>/dev/null; then may="sudo -n"; else may=no; fi; \
	if   command -v apt-get >/dev/null 2>&1; then get="apt-get install -y -qq"; fresh="apt-get update -qq"; \
	elif command -v dnf     >/dev/null 2>&1; then get="dnf install -y -q"; fresh=true; \
	elif command -v pacman  >/dev/null 2>&1; then get="pacman -S --noconfirm --needed"; fresh=true; \
	elif command -v zypper  >/dev/null 2>&1; then get="zypper --non-interactive install"; fresh=true; \
	elif command -v apk     >/dev/null 2>&1; then get="apk add --quiet"; fresh=true; \
	else get=""; fi; \
	if [ -n "$$get" ] && [ "$$may" != no ]; then \
	  echo "Installing$$missing …"; $$may $$fresh >/dev/null 2>&1; $$may $$get $$missing >/dev/null && exit 0; \
	fi; \
	echo; echo "$(2)"; \
	echo "Please install it:  $${get:-your package tool, package}$$missing$${get:+   (as root)}"; echo
endef

bubblewrap: ## Install bubblewrap, the sandbox that jobs run in (Linux).
	$(call system_packages,bwrap=bubblewrap,syftd runs jobs only inside a sandbox and this machine has no bubblewrap. Everything else works without it.)

bench-peers: ## Install Syncthing and rclone, for make bench to measure beside syftd.
	$(call system_packages,syncthing=syncthing rclone=rclone,Syncthing and rclone are what make bench compares with. Without them it measures syftd alone.)

clean: ## Remove the virtual environment and what tools left behind.
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache bench.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
