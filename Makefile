# "make help" lists the targets. Everything here works from a clean clone with Go.

GO     ?= go
TOOLS  := $(GO) tool -modfile=tools/go.mod
BIN    := bin/whyrestart
BENCH  ?= .
# How long one test binary of the end-to-end suite may take.
E2E_TIMEOUT ?= 60m
# Which tests of it, as a regular expression.
E2E_RUN ?= .
# How long the soak goes on.
SOAK_FOR ?= 10m
# How long the faults go on.
CHAOS_FOR ?= 10m

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/whyrestart
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/whyrestart

.PHONY: run
run: build ## build, then serve the cluster of the kubeconfig, or the recording that the binary carries
	./$(BIN) serve --or-demo

.PHONY: test
test: ## test everything that needs neither root nor a cluster, with the race detector
	$(GO) test -race ./...
	$(GO) test -run FailingDisk ./internal/store/sqlite

.PHONY: lint
lint: ## check the format, vet, and run the linters
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS) golangci-lint run ./...

.PHONY: vuln
vuln: ## look for known vulnerabilities that the program reaches (needs the network)
	$(TOOLS) govulncheck ./...

.PHONY: cluster
cluster: ## bring up a real Kubernetes cluster of one node on this machine (root)
	cd test/cluster && $(GO) run ./cmd/cluster up

.PHONY: cluster-down
cluster-down: ## take that cluster down
	cd test/cluster && $(GO) run ./cmd/cluster down

# With KUBECONFIG set, the tests run against that cluster, and those that need its node
# are skipped; else a cluster is brought up, and goes down at the end, whatever came before.
.PHONY: e2e
e2e: build ## run the end-to-end tests against a cluster that is made for them (root), or that of KUBECONFIG
	@set -e; \
	if [ -z "$$KUBECONFIG" ]; then \
		trap '$(MAKE) --no-print-directory cluster-down' EXIT; \
		trap 'exit 130' INT; trap 'exit 143' TERM; \
		$(MAKE) --no-print-directory cluster; \
		env=$$(cd test/cluster && $(GO) run ./cmd/cluster env); \
		eval "$$env"; \
	fi; \
	WHYRESTART_BIN="$(CURDIR)/$(BIN)" $(GO) test -tags e2e -count=1 -timeout $(E2E_TIMEOUT) -run '$(E2E_RUN)' -v ./test/e2e/...

.PHONY: accuracy
accuracy: export WHYRESTART_E2E_ACCURACY := $(CURDIR)/docs/accuracy.md
accuracy: e2e ## run the end-to-end tests, and write what was explained, and what kubectl shows, to docs/accuracy.md

.PHONY: soak
soak: export WHYRESTART_SOAK_REPORT := $(CURDIR)/docs/soak.md
soak: export SOAK_FOR := $(SOAK_FOR)
soak: E2E_RUN := ^TestSoak$$
soak: e2e ## roll, drain and break forty workloads at random for SOAK_FOR, and write what was listed to docs/soak.md

.PHONY: chaos
chaos: export WHYRESTART_CHAOS_REPORT := $(CURDIR)/docs/reliability.md
chaos: export CHAOS_FOR := $(CHAOS_FOR)
chaos: E2E_RUN := ^Test(Chaos|Replicas)
chaos: e2e ## kill, starve and cut off whyrestart for CHAOS_FOR, and write what was lost to docs/reliability.md

.PHONY: bench
bench: ## run the benchmarks; BENCH=regexp chooses, compare two outputs with benchstat
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: fuzz
fuzz: ## fuzz each target for a short time
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 30s -fuzzminimizetime 2s $$pkg; \
		done; \
	done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
