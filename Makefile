# Every target does its own set-up and can be run again.

PYTHON := .venv/bin/python

.PHONY: help
help: ## List the targets
	@echo "make TARGET, where TARGET is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: venv ## Show samples, edits and new constraints of a preset (RUN=toon_faces)
	@$(PYTHON) -m trainers.demo $(if $(RUN),--run_dir=$(RUN))

.PHONY: demo-from-scratch
demo-from-scratch: venv ## Train, evaluate, export and serve, in runs/demo
	@$(PYTHON) -m trainers.demo_from_scratch --config=demo

.PHONY: studio
studio: venv ## Play with constraints in a browser (RUN=toon_faces PORT=8600)
	@$(PYTHON) -m tools.studio $(RUN) $(if $(PORT),--port=$(PORT))

.PHONY: demo-photo
demo-photo: venv photo ## Control a third-party face generator, in runs/photo
	@$(PYTHON) -m tools.photo_demo

.PHONY: studio-photo
studio-photo: venv photo ## Play with the model of demo-photo (PORT=8600)
	@[ -d runs/photo/export ] || $(PYTHON) -m tools.photo_demo
	@$(PYTHON) -m tools.studio runs/photo $(if $(PORT),--port=$(PORT))

.PHONY: check
check: venv ## Run the linter, quick tests and the tests of changed files
	@$(PYTHON) -m tools.check

.PHONY: test
test: venv venv-beam bazel chromium ## Run the linter, then all tests under Bazel
	@$(PYTHON) -m tools.run_tests

.PHONY: test-browser
test-browser: venv chromium ## Run the studio's long test in a browser
	@$(PYTHON) -m pytest tests/studio_test.py tests/studio_full.py

.PHONY: test-photo
test-photo: venv photo ## Test the networks of demo-photo against their packages
	@$(PYTHON) -m pytest tests/photo_checks.py

.PHONY: lint
lint: venv ## Check style and format, change nothing
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

.PHONY: format
format: venv ## Fix style and format
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

.PHONY: docs
docs: venv-docs ## Build the documentation and API reference, in build/docs
	@.venv-docs/bin/mkdocs build --quiet --strict
	@echo "Written: build/docs/index.html"

.PHONY: fuzz
fuzz: venv ## Send the server EXAMPLES random requests of each kind (20000)
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(PYTHON) -m pytest tests/fuzz_test.py

.PHONY: soak
soak: venv ## Load a server and inject faults for MINUTES (10); see runs/soak
	@SOAK_MINUTES=$(or $(MINUTES),10) SOAK_FOLDER=runs/soak $(PYTHON) -m tests.soak_test

.PHONY: attack
attack: venv ## Attack a server for MINUTES (10); see runs/attack (RUN=toon_faces)
	@rm -rf runs/attack
	@$(PYTHON) -m serving.export --run_dir=$(or $(RUN),toon_faces) \
	  --export_dir=runs/attack/export --samplers=flow --nocheck
	@ATTACK_MINUTES=$(or $(MINUTES),10) ATTACK_FOLDER=runs/attack \
	  ATTACK_MODEL=runs/attack/export $(PYTHON) -m tests.attack_test

.PHONY: chaos
chaos: venv ## Kill trainers of all kinds for HOURS (1); see runs/chaos
	@CHAOS_HOURS=$(or $(HOURS),1) $(PYTHON) -m tests.chaos_run

.PHONY: bench
bench: venv venv-torch ## Measure training, sampling and reading, beside PyTorch
	@for name in vae_step latent_space sampling input_pipeline; do \
	  $(PYTHON) -m benchmarks.$$name || exit; \
	done

.PHONY: bench-serving
bench-serving: venv ## Measure the server on an export (RUN=runs/demo)
	@$(PYTHON) -m benchmarks.serving \
	  --saved_model=$(lastword $(sort $(wildcard $(or $(RUN),runs/demo)/export/*)))

.PHONY: lint-deploy
lint-deploy: ## Lint the Dockerfile and the Kubernetes manifests
	@tools/lint_deploy.sh

.PHONY: audit
audit: ## Check requirements.lock for known vulnerabilities (needs a network)
	@tools/lint_deploy.sh audit

.PHONY: sprites
sprites: venv ## Rebuild the sprite bank of toon faces (needs npm and a network)
	@$(PYTHON) -m tools.build_sprites

.PHONY: clean
clean: ## Remove .venv*, caches and build output; keep runs/ and data/
	@if command -v bazel > /dev/null; then bazel clean --expunge; fi
	@rm -rf .venv .venv-beam .venv-tools .venv-torch .venv-docs .pytest_cache .ruff_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Prerequisites, not listed by `make help`.

.PHONY: venv
venv:
	@tools/install.sh venv

.PHONY: venv-beam
venv-beam:
	@tools/install.sh beam

.PHONY: venv-torch
venv-torch:
	@tools/install.sh torch

.PHONY: venv-docs
venv-docs:
	@tools/install.sh docs

.PHONY: bazel
bazel:
	@tools/install.sh bazel

.PHONY: chromium
chromium:
	@tools/install.sh chromium

.PHONY: photo
photo: venv
	@tools/install.sh photo
