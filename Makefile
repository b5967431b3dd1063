# "make help" lists the targets. Everything here works from a clean clone with Go.

GO     ?= go
TOOLS  := $(GO) tool -modfile=tools/go.mod
BIN    := bin/whyrestart
BENCH  ?= .
# How long one test binary of the end-to-end suite may take.
E2E_TIMEOUT ?= 60m

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

# The cluster goes down at the end, whatever came before. Its own messages go to a
# file, so that the tests' are what is read.
.PHONY: e2e
e2e: build ## bring the cluster up, run the end-to-end tests against it, take it down (root)
	@mkdir -p bin; \
	trap '$(MAKE) --no-print-directory cluster-down >>bin/cluster.log 2>&1 || { echo "the cluster did not go down:"; tail -n 40 bin/cluster.log; }' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	echo "bringing the cluster up; see bin/cluster.log"; \
	$(MAKE) --no-print-directory cluster >bin/cluster.log 2>&1 || { tail -n 40 bin/cluster.log; exit 1; }; \
	env=$$(cd test/cluster && $(GO) run ./cmd/cluster env) || exit 1; \
	eval "$$env"; \
	WHYRESTART_BIN="$(CURDIR)/$(BIN)" $(GO) test -tags e2e -count=1 -timeout $(E2E_TIMEOUT) -v ./test/e2e/...

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
