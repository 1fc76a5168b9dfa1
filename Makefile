# The only entry point. Every target installs what it needs (Debian packages, the musl target of Rust).
.PHONY: help demo run test e2e e2e-list fuzz fuzz-list fuzz-build bench fmt check artefacts masters packages clean

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Disks, network namespaces and ports below 1024 need root; building does not.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH,CI,CARGO_TARGET_DIR)
ifneq ($(SUDO),)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO)
endif
CARGO := cargo --locked
TARGET := $${CARGO_TARGET_DIR:-target}
# Always the whole workspace: cargo would build dependencies again for the features of a part of it.
BUILD := $(CARGO) build --workspace --bins
# Seconds for each fuzz target: in `make fuzz`, and in `make test`. There, five are enough to replay a corpus and to find
# what lies near the surface, and all targets together, two at a time, take less than a minute.
FOR := 60
FUZZ_TEST_SECONDS := 5

help: ## Says what each target does
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: artefacts ## Plays the main job with virtual PCs: capture one, deploy to two, boot them
	$(SUDO) masters/debian-12/build.sh debian-12
	$(BUILD)
	$(SUDO) $(TARGET)/debug/demo

run: artefacts ## Starts the appliance for real PCs: make run INTERFACE=eth1
	@test -n "$(INTERFACE)" || { echo "say which network card faces the PCs: make run INTERFACE=eth1"; exit 2; }
	$(BUILD) --release
	$(SUDO) $(TARGET)/release/mimeo serve --interface "$(INTERFACE)" --artefacts build/artefacts

test: check artefacts masters ## Runs every test, the ones with real firmware included
	$(BUILD)
	$(CARGO) test --workspace --lib --bins --test it
	$(MAKE) fuzz FOR=$(FUZZ_TEST_SECONDS)
	$(MAKE) e2e

e2e: artefacts masters ## Runs the whole-machine tests, or one: make e2e CASE=name
	$(BUILD)
	$(CARGO) test --workspace --test e2e -- $(CASE)

e2e-list: packages ## Names the whole-machine tests
	@$(CARGO) test -q --workspace --test e2e -- --list

fuzz: fuzz-build ## Fuzzes every parser of foreign bytes, or one: make fuzz CASE=ntfs FOR=600
	nice $(TARGET)/debug/fuzz run --seconds $(FOR) $(CASE)

fuzz-list: fuzz-build ## Names the fuzz targets and says whose bytes they read
	@$(TARGET)/debug/fuzz list

# Only the packages of this workspace are built again; what they depend on comes from the ordinary build.
fuzz-build: packages
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-for-fuzzing.sh \
		$(CARGO) build --workspace --features mimeo-fuzz/libfuzzer --bin fuzz

bench: artefacts ## Measures Mimeo beside its peers: make bench CASE=boot.tftp
	scripts/fetch-peers.sh
	$(BUILD) --release
	$(SUDO) $(TARGET)/release/bench $(CASE)

fmt: ## Formats the code
	cargo fmt --all

check: packages ## Format and lints
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features mimeo-fuzz/libfuzzer -- -D warnings

artefacts: packages ## Fetches boot loaders and kernel, builds the initramfs (build/artefacts)
	scripts/build-artefacts.sh

masters: packages ## Builds the reference masters (build/masters)
	$(SUDO) masters/debian-12/build.sh
	$(SUDO) masters/windows-layout/build.sh

packages: ## Installs the Debian packages that building and testing need
	@$(SUDO) scripts/install-packages.sh

clean: ## Removes what was built
	rm -rf build
	cargo clean
