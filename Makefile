# What there is to do here. It needs Go and make; the race detector also needs a C compiler.

SHELL := /bin/sh
GO    ?= go
GATE  := $(GO) run ./cmd/internal/gate

# The version that the binary tells: what git says of this very checkout, or dev where it is not one.
VERSION ?= $(shell test -e .git && git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/felhom/tend/cmd/internal/app.version=$(VERSION)

# The only time that stands in a package is that of its commit (reproducible-builds.org).
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

FUZZTIME   ?= 30s
FUZZBUDGET ?= 60s
BENCH      ?= .
BENCHTIME  ?= 1s

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench gen check demo demo-watch package reproduce \
	format vet staticcheck tidy layers replay gen-check fuzz-short

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## make bin/tend, a static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/tend ./cmd/tend

# Those that take longest begin first, lest they run alone in the end.
SLOW := ./reconcile ./cmd/internal/gate ./cmd/internal/app ./cmd/internal/agent

test: ## run the tests
	@$(GATE) test $(SLOW) ./...

race: ## run all tests, with the race detector and fewer random cases where things happen at once
	@$(GATE) test -race $(SLOW) ./...

lint: format vet staticcheck tidy layers ## check format, vet, staticcheck, go.mod and the layers

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@$(GATE) fuzz -each $(FUZZTIME)

bench: ## run the benchmarks that match BENCH (all), each for BENCHTIME (1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...

gen: ## write the generated files anew
	@$(GATE) gen

# Cheap stages first; all tests last, so that the last line is their count.
STAGES := format vet staticcheck tidy layers gen-check replay fuzz-short race

check: ## run what CI runs
	@for stage in $(STAGES); do \
		echo "== $$stage"; start=$$(date +%s); \
		$(MAKE) --no-print-directory $$stage || { echo "== $$stage: FAILED"; exit 1; }; \
		echo "== $$stage: ok, $$(($$(date +%s) - start)) s"; \
	done

# Compilers and checkers leave much garbage, which is collected less often here.
vet staticcheck gen-check fuzz-short: export GOGC ?= 400

format:
	@unformatted=$$($(GO) tool gofumpt -l .) && \
	if [ -n "$$unformatted" ]; then \
		echo "not as gofumpt would have it (go tool gofumpt -w FILE):"; echo "$$unformatted"; exit 1; \
	fi

vet:
	@$(GO) vet ./...

staticcheck:
	@$(GO) tool staticcheck ./...

tidy:
	@$(GO) mod tidy -diff
	@$(GO) mod verify

layers:
	@$(GATE) test ./cmd/internal/house

gen-check:
	@$(GATE) gen -check

replay:
	@$(GATE) test -v -run Replay ./proxmox/conformance/...

fuzz-short:
	@$(GATE) fuzz -budget $(FUZZBUDGET)

demo-watch: build ## show the agent at work between a repository and the embedded simulator (DEMO_STAY=1 leaves it running)
	@examples/demo-watch.sh

package: ## make dist/: static binaries, Debian packages, checksums and SBOMs for amd64 and arm64
	@$(GATE) package -version '$(VERSION)' -date '$(SOURCE_DATE_EPOCH)'

reproduce: package ## make dist/ again, from a copy of the commit in another folder and without a cache, and compare
	@set -e; copy=$$(mktemp -d); trap 'chmod -R u+w "$$copy"; rm -rf "$$copy"' EXIT; \
	git archive --prefix=tend/ HEAD | tar -x -C "$$copy"; \
	cd "$$copy/tend" && GOCACHE="$$copy/cache" $(MAKE) --no-print-directory package VERSION='$(VERSION)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)' >/dev/null; \
	cd '$(CURDIR)' && cmp dist/SHA256SUMS "$$copy/tend/dist/SHA256SUMS" && echo "the same bytes"

demo: build ## apply examples/homelab on the embedded simulator and plan it again
	@examples/demo.sh
