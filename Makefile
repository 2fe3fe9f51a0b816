# Everyday commands, thin over the CMake presets. Each sets up what it lacks and builds.
#   make demo     stream text from the bundled model        make test    run every test
#   make bench    benchmark the kernels (BENCH_OPTIONS)     make format  format the C++ sources
#   make fuzz     run each fuzz target for FUZZ_SECONDS     make tidy    check them with clang-tidy
#   make clean    delete what was built
#   make fuzz-graphs FUZZ_SECONDS=N [SEED=N]   compare random graphs on the GPU, the interpreter and ONNX Runtime
#   make bench-peers MODEL=FOLDER [PEERS_OPTIONS="--prompt 64 -n 32"]   compare speed with ONNX Runtime
#   make test-peers                     compare logits with ONNX Runtime on a small model of each architecture

PRESET ?= release
PROMPT ?= Write a short story about Lily and a lost kite.
FUZZ_SECONDS ?= 60
BENCH_OPTIONS ?=
MODEL ?= models/demo
SEED ?=

.PHONY: all demo test bench bench-peers test-peers format tidy fuzz fuzz-graphs clean

all:
	@tools/build $(PRESET)

# Two processors take 190 to 240 s, a private prefix 340 MiB and a build 300 MiB.
demo:
	@[ -x sinter ] || echo "make demo: setting up and building first: 3 to 4 minutes on two" \
	  "processors, 70 MiB to download, 0.7 GB of disk in $${XDG_CACHE_HOME:-~/.cache}/sinter and build/"
	@tools/build release root_launcher
	@./sinter run models/demo -p "$(PROMPT)"

test:
	@tools/run_tests $(PRESET)

bench:
	@tools/build $(PRESET) kernels_bench
	@tools/run_benchmarks build/$(PRESET) $(BENCH_OPTIONS)

bench-peers:
	@bench/peers/run $(MODEL) $(PEERS_OPTIONS)

test-peers:
	@bench/peers/check $(PEERS_OPTIONS)

format:
	@tools/format

tidy:
	@tools/tidy

fuzz:
	@tools/run_fuzzers $(FUZZ_SECONDS)

fuzz-graphs:
	@tools/fuzz_graphs $(FUZZ_SECONDS) $(SEED)

clean:
	@rm -rf build sinter
