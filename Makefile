# `make` or `make help` prints this list.

.DEFAULT_GOAL := help
.PHONY: help demo playground test bench bench-page conformance-long madsim madsim-plan fuzz mutants lint setup etcd

# Operations of the long conformance run.
OPS ?= 1000000
# Seeds of the simulated network, and the first of them.
SEEDS ?= 20000
FROM ?= 0

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

demo: ## The main job as a story, on the embedded store
	@.ci/setup.sh build
	@if [ -r .cache/env ]; then . .cache/env; fi; cargo run -q -p portolan-cli -- demo

playground: ## The simulator in a browser, as a folder to serve: target/playground
	@.ci/setup.sh playground
	@.ci/playground.sh build

test: ## Everything that must hold: formats, lints, features, tests on real etcd, packages
	@.ci/test.sh

bench: ## One table of ratios against raw clients on the same etcd
	@.ci/setup.sh test
	@if [ -r .cache/env ]; then . .cache/env; fi; cargo bench -q -p portolan-benches --bench table

bench-page: ## How long frames of the playground take, and going back, in Chromium
	@.ci/setup.sh test
	@.ci/test.sh frames

conformance-long: ## The model against real etcd with OPS=1000000 random operations
	@.ci/setup.sh test
	@if [ -r .cache/env ]; then . .cache/env; fi; PORTOLAN_CONFORMANCE_OPS=$(OPS) \
		cargo test -p portolan --test it -- --nocapture conformance::random::on_etcd_3_5

madsim: ## The library in a simulated network: SEEDS=20000 plans, from the seed FROM=0 on
	@.ci/madsim.sh seeds $(FROM) $(SEEDS)

madsim-plan: ## One plan of that kind again: PLAN=FILE
	@.ci/madsim.sh plan $(PLAN)

fuzz: ## Hostile input for SECONDS=60 each: all targets, or those in TARGETS
	@.ci/setup.sh test
	@.ci/fuzz.sh run $(or $(SECONDS),60) $(TARGETS)

mutants: ## Breaks core and memory in thousands of ways, one at a time: ARGS='-f FILE' for some; takes hours
	@.ci/mutants.sh run $(ARGS)

lint: ## Formats and lints only
	@.ci/test.sh fmt clippy

setup: ## Brings tools, crates and etcd, or says what to install
	@.ci/setup.sh test

etcd: ## Brings real etcd 3.4, 3.5 and a late one into .cache/etcd
	@.ci/etcd.sh 3.4 3.5 late
