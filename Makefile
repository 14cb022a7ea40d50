# make demo: set up and run the main job.   make test: set up and run the checks.
# make demo-s3: the demo on an S3 server that it starts and stops; nothing to configure.
# make matrices: the tests of every set-up of a kind; minutes, and CI runs them too.
# make fuzz: every reader of files by strangers, ten minutes each.
# make docs: the documentation as a site, in build/docs.   make picture: the picture of the README, from a real session.
# make locks: locks/ anew, after constraints.txt was changed.   make release: wheel, sdist, digests and SBOMs, in dist.
# make lowest: the command line with the lowest versions that pyproject.toml allows, on the lowest Python.
PYTHON ?= python3
PY := .venv/bin/python
LIGHT := .venv-light/bin/python
LOWEST := .venv-lowest/bin/python
LOWEST_PYTHON ?= $(PYTHON)
INSTALL := -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
# What a lock does not list, or has another digest than in it, is not installed.
LOCKED := -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --requirement
HERE := -m pip --disable-pip-version-check --quiet install --no-deps

.PHONY: setup demo demo-s3 test lint types walls tests matrices fuzz lowest docs picture bench bench-services locks release clean

setup: .venv/.ready .venv-light/.ready

.venv/.ready: pyproject.toml constraints.txt locks/all.txt examples/third_party_backend/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ckptkit needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "python3-venv is missing; install it first" >&2; exit 1; }
	@echo "setting up .venv (torch, TensorFlow and Stable-Baselines3: about 4 GB, a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(PY) $(INSTALL) --no-deps torch  # which of its builds there is depends on the machine: its version alone is held
	@$(PY) $(LOCKED) locks/all.txt
	@$(PY) $(HERE) --no-build-isolation --editable . --editable examples/third_party_backend
	@$(PY) -m pip check
	@touch $@

# Only the core's own dependencies: what `pip install -e .` gives without extras.
.venv-light/.ready: pyproject.toml constraints.txt locks/core.txt locks/all.txt
	@$(PYTHON) -m venv .venv-light
	@$(LIGHT) $(LOCKED) locks/core.txt
	@$(LIGHT) $(HERE) --build-constraint locks/all.txt --editable .
	@$(LIGHT) -m pip check
	@touch $@

RELEASE := .venv-release/bin
COMPILE := $(RELEASE)/uv pip compile --quiet --no-config --generate-hashes --no-annotate --python-version 3.11.5 \
  --custom-compile-command 'make locks'

.venv-release/.ready: locks/release.txt
	@$(PYTHON) -m venv .venv-release
	@$(RELEASE)/python $(LOCKED) locks/release.txt
	@touch $@

locks: .venv-release/.ready
	$(COMPILE) --no-deps --no-emit-package torch --output-file locks/all.txt constraints.txt
	$(COMPILE) --no-deps --output-file locks/lerobot.txt requirements-lerobot.txt
	echo pip | $(COMPILE) --universal --constraint constraints.txt --output-file locks/core.txt pyproject.toml -
	$(COMPILE) --universal --output-file locks/release.txt locks/release.in

release: setup .venv-release/.ready
	$(PY) tools/release.py --sbom $(RELEASE)/cyclonedx-py --into dist

demo: .venv/.ready
	@$(PY) examples/demo/demo.py

demo-s3: .venv/.ready
	@$(PY) examples/demo/demo_s3.py

test: setup lint types walls tests

lint:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types:
	$(PY) -m mypy

walls:
	$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

tests:
	OMP_NUM_THREADS=1 $(PY) -m pytest -q --numprocesses 2 --dist loadfile -m 'not matrix'
	cd examples/third_party_backend && ../../$(PY) -m pytest -q

# It asks for an older torch: what it imports lies in a folder of its own, and .venv stays as pip resolved it.
.lerobot/.ready: locks/lerobot.txt .venv/.ready
	@rm -rf .lerobot
	@$(PY) $(LOCKED) locks/lerobot.txt --target .lerobot
	@touch $@

matrices: setup .lerobot/.ready
	OMP_NUM_THREADS=1 $(PY) -m pytest -q --numprocesses 2 --dist loadfile -m matrix

fuzz: .venv/.ready
	$(PY) tests/fuzz/fuzzing.py --seconds 600

.venv-lowest/.ready: pyproject.toml constraints-lowest.txt
	@$(LOWEST_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is the lowest: name it with: make lowest LOWEST_PYTHON=..." >&2; exit 1; }
	@$(LOWEST_PYTHON) -m venv .venv-lowest
	@$(LOWEST) -m pip --disable-pip-version-check --quiet install --constraint constraints-lowest.txt \
	  --editable '.[numpy,data,sign]' google-crc32c pytest safetensors
	@touch $@

lowest: .venv-lowest/.ready
	$(LOWEST) -m ckptkit.cli.main --store tests/compat/frozen/v1.2 verify
	$(LOWEST) -m pytest -q tests/cli tests/plugins/test_data_command.py
	$(LOWEST) -m pytest -q tests/conformance/test_numpy_rng_conforms.py

.venv/.docs-ready: .venv/.ready
	@$(PY) $(INSTALL) --group docs
	@touch $@

docs: .venv/.docs-ready
	rm -rf build/docs docs/generated
	$(PY) -m sphinx -q -W --keep-going -j 2 -b html -c docs/site . build/docs
	@echo "the site: build/docs/index.html"

picture: .venv/.ready
	$(PY) docs/pictures/make.py

.venv/.bench-ready: .venv/.ready
	@$(PY) $(INSTALL) --editable '.[bench]'
	@touch $@

bench: .venv/.bench-ready
	$(PY) -m benchmarks.startup
	$(PY) -m benchmarks.save_large
	$(PY) -m benchmarks.save_replay
	$(PY) -m benchmarks.save_async --megabytes 512
	$(PY) -m benchmarks.stall
	$(PY) -m benchmarks.save_dedup
	$(PY) -m benchmarks.verify_large
	$(PY) -m benchmarks.verify_small
	$(PY) -m benchmarks.prune_many
	$(PY) -m benchmarks.restore_large
	$(PY) -m benchmarks.list_many

bench-services: .venv/.bench-ready
	$(PY) -m benchmarks.requests --runs 10
	$(PY) -m benchmarks.services --services s3 --megabytes 128
	$(PY) -m benchmarks.object_large --megabytes 500
	$(PY) -m benchmarks.scale --sizes 1x1000 1x10000

clean:
	rm -rf .venv .venv-light .venv-lowest .venv-release .lerobot build demo-output dist docs/generated .mypy_cache .ruff_cache .pytest_cache
