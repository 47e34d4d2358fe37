# Everything that is done with this repository. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := services/servicekit services/contract services/embedder services/recommender services/gateway clients/python dev
SOURCES := services/servicekit/src services/contract/src services/embedder/src services/recommender/src services/gateway/src clients/python/src dev/src sample bench monitoring
READY := $(VENV)/.ready

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Made anew when a version or a package's own dependencies change.
$(READY): constraints.txt scripts/make-venv $(PACKAGES:=/pyproject.toml)
	@PYTHON="$(PYTHON)" scripts/make-venv $(VENV) $(PACKAGES)
	@touch $(READY)

.PHONY: install
install: $(READY) ## Make .venv with everything in it

.PHONY: run
run: $(READY) ## Start Foreword with the sample firm; Ctrl-C stops it
	@exec $(BIN)/python -m foreword_dev.run

# In the folders' order, in which the long modules come first; by number of tests they would come last, alone.
.PHONY: test
test: $(READY) ## Run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# In two halves, as each process then imports only what its half needs.
UNIT_EDGE := tests/unit/gateway tests/unit/client tests/unit/contract tests/unit/servicekit tests/unit/embedder
UNIT_CORE := $(filter-out $(UNIT_EDGE),$(wildcard tests/unit/*)) tests/architecture
.PHONY: test-unit
test-unit: $(READY) ## Run the fast tests: no torch, no database, no processes
	@printf '%s\n' "$(UNIT_EDGE)" "$(UNIT_CORE)" | xargs -P 2 -I {} sh -c \
	  '$(BIN)/python -m pytest -q -p no:schemathesis -p no:playwright -m "not slow and not model" {}'

.PHONY: fuzz
fuzz: $(READY) ## Send generated requests until there were CASES (50,000), to a Foreword of its own or to URL with KEY
	$(BIN)/python tests/e2e/fuzz_contract.py --cases $(or $(CASES),50000) --workers $(or $(WORKERS),2) \
	  $(if $(URL),--url $(URL) --key $(KEY))

.PHONY: fuzz-parsers
fuzz-parsers: $(READY) ## A million generated inputs against every parser of foreign bytes (CASES=…; goes on where it stopped)
	$(BIN)/python tests/fuzz/fuzz_parsers.py --cases $(or $(CASES),1000000) --seconds $(or $(SECONDS),7200)

.PHONY: hostile-uploads
hostile-uploads: $(READY) ## Every hostile file against a running Foreword, also those that burn all their time
	HOSTILE_UPLOADS=all $(BIN)/python -m pytest -q tests/e2e/test_hostile_uploads.py

.PHONY: audit
audit: $(READY) ## Known weaknesses in dependencies (pip-audit) and dangerous code of our own (bandit)
	scripts/audit $(BIN)

.PHONY: lint
lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: $(READY) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: $(READY) ## Check types, strictly
	$(BIN)/mypy $(wildcard $(SOURCES))

.PHONY: imports
imports: $(READY) ## Check that dependencies run one way
	$(BIN)/lint-imports

.PHONY: check
check: lint types imports test ## All of it: lint, types, import contracts and tests

.PHONY: eval
eval: $(READY) ## Judge ranking and stages on a log (LOG=folder) and write docs/quality.md
	$(BIN)/foreword report $(if $(LOG),--log $(LOG))

.PHONY: bench
bench: bench-ranking bench-embed bench-serve bench-ingest bench-batch bench-import bench-index bench-scale ## Measure speed, as ratios within one run

.PHONY: bench-ranking
bench-ranking: $(READY) ## Time the ranking function
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python bench/ranking.py

.PHONY: bench-embed
bench-embed: $(READY) ## Time the embedder against the bare model and the library; writes docs/performance.md
	$(BIN)/python -m bench.embedding --write docs/performance.md

.PHONY: bench-studio
bench-studio: $(READY) ## Time the studio's pages in a browser with 10,000 assets; writes docs/performance.md
	$(BIN)/python -m bench.studio --write docs/performance.md

.PHONY: bench-rest
bench-rest: $(READY) ## Measure what services and database take while nobody asks anything; writes docs/performance.md
	$(BIN)/python -m bench.rest --write docs/performance.md

.PHONY: studio-pictures
studio-pictures: $(READY) ## Photograph the studio with the sample firm, at 1440 and 390 px, into docs/img
	$(BIN)/python -m bench.studio_pictures --to docs/img

.PHONY: bench-serve
bench-serve: $(READY) ## Time one recommendation against two bare services; writes docs/performance.md
	$(BIN)/python -m bench.serve --write docs/performance.md

.PHONY: bench-ingest
bench-ingest: $(READY) ## Time batches of 100 signals against COPY; writes docs/performance.md
	$(BIN)/python -m bench.ingest --write docs/performance.md

.PHONY: bench-batch
bench-batch: $(READY) ## Time one batch against single requests; writes docs/performance.md
	$(BIN)/python -m bench.batch --write docs/performance.md

.PHONY: bench-memory
bench-memory: $(READY) ## Watch the services' memory over requests (REQUESTS=1000000); writes docs/performance.md
	$(BIN)/python -m bench.memory --requests $(or $(REQUESTS),1000000) --write docs/performance.md

.PHONY: bench-import
bench-import: $(READY) ## Time an import against the model and the database alone; writes docs/performance.md
	$(BIN)/python -m bench.import_log --write docs/performance.md

.PHONY: bench-index
bench-index: $(READY) ## Time the approximate index against hnswlib and usearch; writes docs/performance.md
	$(BIN)/python -m bench.index --write docs/performance.md

.PHONY: bench-scale
bench-scale: $(READY) ## Measure time, memory and disk by assets, profiles and signals; writes docs/performance.md
	$(BIN)/python -m bench.scale --write docs/performance.md

.PHONY: drill
drill: $(READY) ## Take each part away under load and write docs/drills.md
	$(BIN)/python -m foreword_dev.drill --write docs/drills.md

.PHONY: chaos
chaos: $(READY) ## Kill, starve and cut parts under load, then check every acknowledged write (KILLS=30 MINUTES=3 SEED=1)
	$(BIN)/python -m foreword_dev.chaos.run --seed $(or $(SEED),1) --kills $(or $(KILLS),30) \
	  --minutes $(or $(MINUTES),3) $(if $(PLANTED),--planted) $(if $(WRITE),--write docs/chaos.md)

.PHONY: chaos-short
chaos-short: $(READY) ## The shortest chaos run, and the same with a planted bug, as tests
	$(BIN)/python -m pytest -q tests/e2e/chaos_in_short.py

.PHONY: soak
soak: $(READY) ## Ask ten times what this machine can do and watch goodput, latency and memory (MINUTES=30)
	$(BIN)/python -m foreword_dev.soak --minutes $(or $(MINUTES),30) $(if $(WRITE),--write docs/performance.md)

.PHONY: drill-alerts
drill-alerts: $(READY) ## Drill under a real Prometheus: which alert each rung trips; writes docs/drills.md
	$(BIN)/python -m monitoring.rehearsal --write docs/drills.md

.PHONY: bench-metrics
bench-metrics: $(READY) ## Measure what metrics cost a request; writes docs/performance.md
	$(BIN)/python -m bench.instrumentation --write docs/performance.md

.PHONY: openapi
openapi: $(READY) ## Write docs/openapi.json from the code
	$(BIN)/python -m gateway.openapi > docs/openapi.json

.PHONY: monitoring
monitoring: $(READY) ## Write rules and dashboards from monitoring/slos.yaml
	$(BIN)/python -m monitoring.generate

.PHONY: monitor
monitor: $(READY) ## Watch a running Foreword under load and draw every dashboard panel as PNG
	$(BIN)/python -m monitoring.monitor $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: constraints
constraints: $(READY) ## Pin every installed version in constraints.txt
	scripts/pin-versions $(VENV) > constraints.new && mv constraints.new constraints.txt

# docker, podman or buildah, whichever is there; PYTHON_IMAGE and PYTHON_DIGEST say what images stand on.
IMAGE_TOOL ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool) 2>/dev/null),$(tool))))
IMAGE_BUILD = $(IMAGE_TOOL) build $(IMAGE_OPTIONS)
VERSION ?= 0.1.0
REGISTRY ?=
PYTHON_IMAGE ?= python:3.12-slim
PYTHON_DIGEST ?=
IMAGE_ARGUMENTS = --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) --build-arg PYTHON_DIGEST=$(PYTHON_DIGEST) \
	--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	--build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ)
SERVICES ?= gateway recommender embedder

.PHONY: images
images: ## Build the three images (IMAGE_TOOL=docker|podman|buildah, PYTHON_DIGEST=sha256:…)
	@test -n "$(IMAGE_TOOL)" || { echo "docker, podman or buildah is needed." >&2; exit 1; }
	@set -e; for service in $(SERVICES); do \
	    $(IMAGE_BUILD) $(IMAGE_ARGUMENTS) -f services/$$service/Dockerfile \
	        -t $(REGISTRY)foreword-$$service:$(VERSION) .; \
	done

.PHONY: sbom
sbom: ## Write what each image holds to dist/<service>.cdx.json (CycloneDX)
	@test -n "$(IMAGE_TOOL)" || { echo "docker, podman or buildah is needed." >&2; exit 1; }
	@mkdir -p dist
	@set -e; for service in $(SERVICES); do \
	    $(IMAGE_BUILD) $(IMAGE_ARGUMENTS) -f services/$$service/Dockerfile --target sbom \
	        --output type=local,dest=dist/sbom-$$service .; \
	    mv dist/sbom-$$service/sbom.json dist/$$service.cdx.json; rm -rf dist/sbom-$$service; \
	done

.PHONY: test-images
test-images: $(READY) ## Build images on a base from Debian's archive and run them (root, buildah, debootstrap)
	FOREWORD_BUILD_IMAGES=$(or $(IMAGES),1) $(BIN)/python -m pytest -q tests/k8s/test_k8s_images.py

.PHONY: deploy-dev
deploy-dev: ## Apply the dev overlay to the cluster of $KUBECONFIG (kind, minikube) and wait until it serves
	@scripts/deploy-dev

.PHONY: smoke
smoke: ## Prove on the cluster of $KUBECONFIG: apply, rollout under load, eviction, killed pods, migration
	@tests/cluster/smoke.sh

.PHONY: clean
clean: ## Remove .venv and caches; the data folder stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
