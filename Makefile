# Farshore. `make` alone lists what can be done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN      := bin/farshore
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT     := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 20s

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## find or install PostgreSQL, qemu-utils, libnbd-bin and Azurite
	@deploy/setup.sh

.PHONY: build
build: ## build bin/farshore
	@go build -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/farshore

.PHONY: demo
demo: setup build ## protect two VMs, replicate, drill, fail over and back, and prove every step (KEEP=1 leaves the server running)
	@$(BIN) demo $(if $(KEEP),--keep)

.PHONY: serve
serve: build ## run the server on 127.0.0.1:8080 with its data in ./.farshore
	@$(BIN) serve

.PHONY: test
test: setup ## run all tests, on real PostgreSQL, Azurite, QEMU tools and killed processes
	go test -shuffle=on -timeout 15m ./...

.PHONY: test-race
test-race: setup ## run all tests under the race detector
	go test -race -shuffle=on -timeout 30m ./...

.PHONY: lint
lint: ## run the linters
	$(LINT) run ./...

.PHONY: generate
generate: ## write the generated code, docs/errors.md and docs/states.md
	go generate ./...
	go run ./cmd/farshore docs errors > docs/errors.md
	go run ./cmd/farshore docs states > docs/states.md

.PHONY: verify
verify: generate ## fail when generated files, go.mod or the lint configuration are stale
	git diff --exit-code
	go mod tidy -diff
	$(LINT) config verify

.PHONY: bench
bench: setup ## measure against rivals in the same run and print ratios; takes some minutes on a quiet machine
	go test -run '^$$' -bench 'AppendAgainstRawInsert|CatchUpAgainstOneByOne' -benchtime 1x -timeout 30m -p 1 ./eventstore ./projections
	go test -run '^$$' -bench 'TrackedWritesAgainstQemuNBD|TrackedWriteLatency' -benchtime 1x -timeout 30m ./workers/host/local/nbd
	go test -run '^$$' -bench 'CutHold' -benchtime 200x -timeout 30m ./workers/changelog
	go test -run '^$$' -bench 'InitialCopyAgainstQemuImg' -benchtime 1x -timeout 30m ./workers/transfer
	go test -run '^$$' -bench 'ResynchronizationSendsWhatDiffers|UnplannedFailoverAgainstCopying' -benchtime 1x -timeout 30m ./workers/engine

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME (20s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r f; do \
	  for fn in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$f"); do \
	    echo "fuzz $$fn in $$(dirname $$f)"; go test -run '^$$' -fuzz "^$$fn\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "./$$(dirname $$f)"; \
	  done; done
