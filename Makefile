# Everything here needs Go and make, and nothing else. `make` lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/sh

GO ?= go
# How long `make fuzz` spends on each target.
FUZZTIME ?= 60s
# How many TokenReviews `make soak` makes.
REVIEWS ?= 20000
# More flags for `go test`, such as TESTFLAGS=-v.
TESTFLAGS ?=
# More flags for `make interop`, such as INTEROPFLAGS='-only node,java/exec'.
INTEROPFLAGS ?=

# The modules of this repository. Those of CONTROLPLANE, Kubernetes itself and Helm,
# are compiled by demo, e2e and interop, and only checked for tidiness elsewhere.
MODULES := . tools sandbox examples/client examples/lambda interop interop/authenticator
CONTROLPLANE := sandbox/controlplane interop/helm
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# What is generated, and where to.
HOSTS := identity/zz_generated_sts.go
VECTORS := verify/testdata/vectors

TOOLS := bin/tools
# What ships is held to every rule of gosec. The sandbox runs programs and tidies
# up after them, for tests: CONTRIBUTING.md says what it is let off.
GOSEC_SANDBOX := -exclude=G104,G204,G304

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/ekskey, bin/ekskey-server and bin/ekskey-sandbox, stripped
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...
	CGO_ENABLED=0 $(GO) -C sandbox build -trimpath -ldflags '-s -w' -o ../bin/ ./cmd/ekskey-sandbox

.PHONY: demo
demo: ## a real kube-apiserver and an embedded AWS on loopback: watch an identity go in
	@echo 'compiling ekskey-sandbox; the first time, that takes a minute or two'
	@$(GO) -C sandbox run ./cmd/ekskey-sandbox demo

.PHONY: test
# Else each process that a test starts ends a second later.
test: export GORACE := atexit_sleep_ms=0
test: ## all unit tests, fuzz seeds included; with the race detector where there is a C compiler
	@race=-race; \
	if ! $(GO) list -race -e runtime/race >/dev/null 2>&1 || \
	   ! printf '#include <stdlib.h>\n' | $$($(GO) env CC) -x c -c -o /dev/null - >/dev/null 2>&1; then \
		race=; echo 'note: no C compiler that cgo can use, so the race detector is off'; \
	fi; \
	set -ex; \
	$(GO) test $$race $(TESTFLAGS) ./...; \
	$(GO) -C sandbox test $$race $(TESTFLAGS) ./...; \
	$(GO) -C examples/client test $$race $(TESTFLAGS) ./...; \
	$(GO) -C examples/lambda test $$race $(TESTFLAGS) ./...; \
	$(GO) -C interop test $$race $(TESTFLAGS) ./...; \
	$(GO) -C interop/authenticator test $(TESTFLAGS) ./...

.PHONY: e2e
e2e: ## the real binaries, kubectl and client-go against the sandbox's API server
	$(GO) -C sandbox test -tags e2e -count=1 -timeout 45m $(TESTFLAGS) ./e2e/...

.PHONY: soak
soak: ## ekskey-server under load and faults; REVIEWS=1000000 is the long form
	$(GO) -C sandbox test -tags e2e -count=1 -timeout 60m -v -run '^TestSoak' $(TESTFLAGS) ./e2e/... -args -reviews $(REVIEWS)

.PHONY: interop
interop: ## kubectl, Helm and the clients of other languages against the sandbox, in all three ways
	@CGO_ENABLED=0 $(GO) -C sandbox build -trimpath -ldflags '-s -w' -o ../bin/ ./cmd/ekskey-sandbox
	@$(GO) -C interop build -o ../bin/ekskey-interop .
	@bin/ekskey-interop -sandbox bin/ekskey-sandbox -source interop $(INTEROPFLAGS)

.PHONY: lint
lint: tools ## gofmt, vet, staticcheck, errorlint, gosec, tidy modules, generated code up to date
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }
	@set -e; top=$$PWD; for m in $(MODULES); do \
		echo "== module $$m"; \
		( set -ex; cd $$m; \
		  $(GO) vet -tags e2e ./...; \
		  $$top/$(TOOLS)/staticcheck -tags e2e ./...; \
		  $$top/$(TOOLS)/go-errorlint -errorf ./...; \
		  case $$m in \
		  .) $$top/$(TOOLS)/gosec -quiet -exclude-generated ./... ;; \
		  sandbox) $$top/$(TOOLS)/gosec -quiet -exclude-generated $(GOSEC_SANDBOX) ./... ;; \
		  esac ); \
	done
	@set -ex; for m in $(MODULES) $(CONTROLPLANE); do $(GO) -C $$m mod tidy -diff; done
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; mkdir "$$tmp/vectors"; set -x; \
	$(MAKE) -s generate HOSTS="$$tmp/hosts.go" VECTORS="$$tmp/vectors"; \
	cmp "$$tmp/hosts.go" $(HOSTS); \
	for f in "$$tmp"/vectors/*; do cmp "$$f" "$(VECTORS)/$${f##*/}"; done

.PHONY: tools
tools:
	@mkdir -p $(TOOLS)
	$(GO) -C tools build -o ../$(TOOLS)/ tool

.PHONY: vuln
vuln: tools ## known vulnerabilities in what is linked (asks vuln.go.dev)
	@set -e; top=$$PWD; for m in . sandbox; do ( set -x; cd $$m; $$top/$(TOOLS)/govulncheck ./... ); done

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s)
	@set -e; list=$$($(GO) test -list '^Fuzz' ./...); \
	echo "$$list" | awk '/^Fuzz/ { name[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print name[i], $$2; n = 0 }' | \
	while read -r name package; do \
		( set -x; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" ) </dev/null || exit 1; \
	done

.PHONY: cross
cross: ## build and vet for linux, darwin and windows, amd64 and arm64
	@set -e; for p in $(PLATFORMS); do for m in . sandbox; do \
		( export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/}; \
		  set -x; $(GO) -C $$m build ./...; $(GO) -C $$m vet ./... ); \
	done; echo "ok $$p"; done

.PHONY: bench
bench: ## ekskey against the alternatives, side by side in one run
	CGO_ENABLED=0 $(GO) -C sandbox build -trimpath -ldflags '-s -w' -o ../bin/ ./cmd/ekskey-sandbox
	$(GO) run ./bench -sandbox bin/ekskey-sandbox
	$(GO) run ./bench/server

.PHONY: generate
generate: ## write the table of STS hosts and the vectors of tokens anew
	$(GO) -C tools run ./stsgen -o "$(abspath $(HOSTS))"
	$(GO) -C tools run ./vectorgen -o "$(abspath $(VECTORS))"

.PHONY: clean
clean: ## remove bin/
	rm -rf bin
