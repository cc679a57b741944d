# darter: one non-recursive Makefile. A new source, test or fuzz target needs no edit here.
#
#   make run     install what is missing, build, start darter-proxy as a mirror of Docker Hub
#   make test    install what is missing, build, run all tests
#   make         build the programs into build/bin
#   make lint | asan-test | tsan-test | fuzz | bench | demo | fmt | docs | clean
#
#   V=release (default) | debug | asan | tsan chooses the variant; objects go to build/$(V).

V ?= release
B := build/$(V)
BIN := $(if $(filter release,$(V)),build/bin,$(B)/bin)
CC := gcc
FUZZ_CC := clang

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

# ---- flags ------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
        -Wpointer-arith -Wwrite-strings -Wundef
# h2o's headers pick libuv unless told otherwise: a silent ABI mismatch where libuv is installed.
CPPFLAGS := -I. -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -D_FILE_OFFSET_BITS=64
CFLAGS_COMMON := -std=gnu11 -g -pthread -fno-omit-frame-pointer -fno-common $(WARN)
CFLAGS_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
CFLAGS_debug := -O0
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_tsan := -O1 -fsanitize=thread
LDFLAGS_release := -pie -Wl,-z,relro,-z,now
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
CFLAGS = $(CFLAGS_COMMON) $(CFLAGS_$(V))
LDFLAGS = -pthread -Wl,--as-needed $(LDFLAGS_$(V))
LIBS := -lh2o-evloop -lcurl -lssl -lcrypto -ljansson -llmdb -lyaml -lm

Q := $(if $(VERBOSE),,@)

# ---- what there is ------------------------------------------------------------------------------

LIB_DIRS := base base/wire cache registry-client transfer
LIB_SRC := $(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c))
PROXY_SRC := $(filter-out proxy/main.c,$(wildcard proxy/*.c))
SUPERNODE_SRC := $(filter-out supernode/main.c,$(wildcard supernode/*.c))
SIM_SRC := $(filter-out tests/sim/main.c,$(wildcard tests/sim/*.c))
CLI_SRC := $(filter-out proxy/cli/main.c,$(wildcard proxy/cli/*.c))
obj = $(patsubst %.c,$(B)/%.o,$(1))

# Archives of the layers, in link order: a daemon's own, then libraries, then base.
LIB_proxy := $(B)/libproxy.a
LIB_supernode := $(B)/libsupernode.a
LIB_cli := $(B)/libcli.a
LIB_sim := $(B)/libsim.a
LIB_all := $(B)/libdarter.a

PROGRAMS := $(BIN)/darter-proxy $(BIN)/darter-supernode $(BIN)/darter
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/*_test.c))
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_REPLAYS := $(patsubst %,$(B)/tests/fuzz/%_replay,$(FUZZ_NAMES))
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/*.c))

all: $(PROGRAMS)

$(LIB_all): $(call obj,$(LIB_SRC))
$(LIB_proxy): $(call obj,$(PROXY_SRC))
$(LIB_supernode): $(call obj,$(SUPERNODE_SRC))
$(LIB_cli): $(call obj,$(CLI_SRC))
$(LIB_sim): $(call obj,$(SIM_SRC))
$(B)/lib%.a:
	$(Q)mkdir -p $(@D); rm -f $@; ar rcs $@ $^

$(B)/%.o: %.c
	@echo "  CC    $<"
	$(Q)mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BIN)/darter-proxy: $(B)/proxy/main.o $(LIB_proxy) $(LIB_all)
$(BIN)/darter: $(B)/proxy/cli/main.o $(LIB_cli) $(LIB_all)
$(BIN)/darter-supernode: $(B)/supernode/main.o $(LIB_supernode) $(LIB_all)
$(PROGRAMS):
	@echo "  LINK  $@"
	$(Q)mkdir -p $(@D); $(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(LIB_proxy) $(LIB_sim) $(LIB_supernode) $(LIB_cli) $(LIB_all)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(LIB_proxy) $(LIB_sim) $(LIB_supernode) $(LIB_cli) $(LIB_all) -lcmocka $(LIBS)

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(LIB_proxy) $(LIB_supernode) $(LIB_all)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(LIB_proxy) $(LIB_supernode) $(LIB_all) $(LIBS)

# The simulator: the real planner in virtual time.
$(B)/tests/sim/swarm: $(B)/tests/sim/main.o $(LIB_sim) $(LIB_supernode) $(LIB_all)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# A fuzz target is LLVMFuzzerTestOneInput(); `make test` replays its corpus, `make fuzz` explores.
$(B)/tests/fuzz/%_replay: $(B)/tests/fuzz/%_fuzz.o $(B)/tests/fuzz/replay.o $(LIB_proxy) $(LIB_sim) $(LIB_supernode) $(LIB_all)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(B)/tests/fuzz/replay.o $(LIB_proxy) $(LIB_sim) $(LIB_supernode) $(LIB_all) $(LIBS)

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)
.PRECIOUS: $(B)/%.o
.SECONDARY:

# ---- Debian packages ----------------------------------------------------------------------------

DEPS_BUILD := gcc libc6-dev make pkg-config libh2o-evloop-dev libcurl4-openssl-dev libssl-dev libjansson-dev \
              liblmdb-dev libyaml-dev uthash-dev ca-certificates
DEPS_TEST := libcmocka-dev python3 python3-pytest python3-yaml openssl curl iproute2 util-linux procps \
             docker-registry containerd runc docker.io podman crun skopeo buildah e2fsprogs
DEPS_LINT := clang clang-tidy clang-format cppcheck shellcheck mandoc
DEPS_BENCH := nginx-light wrk linux-perf

deps test-deps lint-deps bench-deps:
deps:
	$(Q)sh contrib/debian-packages.sh $(DEPS_BUILD)
test-deps:
	$(Q)sh contrib/debian-packages.sh $(DEPS_BUILD) $(DEPS_TEST)
lint-deps:
	$(Q)sh contrib/debian-packages.sh $(DEPS_BUILD) $(DEPS_LINT)
bench-deps:
	$(Q)sh contrib/debian-packages.sh $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_BENCH)

# ---- the main job -------------------------------------------------------------------------------

# make run                           mirror of Docker Hub
# make run UPSTREAM=harbor.example=https://harbor.example
run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)sh contrib/run.sh $(BIN) $(UPSTREAM)

demo: test-deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/e2e/demo $(BIN)
	$(Q)tests/swarm/demo $(BIN)

# ---- tests --------------------------------------------------------------------------------------

# tests/run prints one line per test and, last, "N passed, N failed".
test: test-deps
	$(Q)$(MAKE) --no-print-directory all unit-build fuzz-build
	$(Q)tests/run --bin $(BIN) --build $(B) $(TESTS)
unit-build: $(UNIT_TESTS)
fuzz-build: $(FUZZ_REPLAYS)
unit: unit-build fuzz-build
	$(Q)tests/run --bin $(BIN) --build $(B) unit fuzz

asan-test: test-deps
	$(Q)$(MAKE) --no-print-directory V=asan all unit-build fuzz-build
	$(Q)tests/run --bin build/asan/bin --build build/asan unit fuzz proto swarm
tsan-test: test-deps
	$(Q)$(MAKE) --no-print-directory V=tsan all unit-build
	$(Q)tests/run --bin build/tsan/bin --build build/tsan unit proto swarm
valgrind-test: test-deps
	$(Q)$(MAKE) --no-print-directory V=debug unit-build
	$(Q)tests/run --bin build/debug/bin --build build/debug --valgrind unit

# make fuzz FUZZ=challenge FUZZ_SECONDS=60
FUZZ ?= $(FUZZ_NAMES)
FUZZ_SECONDS ?= 20
fuzz: lint-deps
	$(Q)sh contrib/debian-packages.sh libclang-rt-14-dev
	$(Q)for name in $(FUZZ); do \
	    mkdir -p build/fuzz/$$name tests/fuzz/corpus/$$name; \
	    $(FUZZ_CC) $(CPPFLAGS) -std=gnu11 -g -O1 -pthread -fsanitize=fuzzer,address,undefined \
	        -o build/fuzz/$$name.bin tests/fuzz/$${name}_fuzz.c $(LIB_SRC) $(PROXY_SRC) $(SUPERNODE_SRC) $(SIM_SRC) $(LIBS) && \
	    ASAN_OPTIONS=detect_leaks=1 build/fuzz/$$name.bin -max_total_time=$(FUZZ_SECONDS) \
	        -artifact_prefix=build/fuzz/ build/fuzz/$$name tests/fuzz/corpus/$$name || exit 1; done

bench-build: $(BENCH_PROGRAMS) $(B)/tests/sim/swarm
bench: bench-deps
	$(Q)$(MAKE) --no-print-directory all bench-build
	$(Q)tests/bench/run --bin $(BIN) --build $(B)

lint: lint-deps
	$(Q)tests/lint/run
fmt:
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

# Man pages and the sample config come out of the option tables; the tree keeps them for readers.
docs: all
	$(Q)tests/lint/generated --write

clean:
	rm -rf build

.PHONY: all deps test-deps lint-deps bench-deps run demo test unit unit-build fuzz-build asan-test \
        tsan-test valgrind-test fuzz bench bench-build lint fmt docs clean
