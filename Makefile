# Everyday commands, thin over the CMake presets. Each sets up what it lacks and builds.
#   make demo     stream text from the bundled model        make test    run every test
#   make bench    run the benchmarks                        make format  format the C++ sources
#   make fuzz     run the fuzz targets for FUZZ_SECONDS     make clean   delete what was built

PRESET ?= release
PROMPT ?= Write a short story about Lily and a lost kite.
FUZZ_SECONDS ?= 60

.PHONY: all demo test bench format fuzz clean

all:
	@tools/build $(PRESET)

demo:
	@tools/build release
	@./sinter run models/demo -p "$(PROMPT)"

test: all
	@tools/run_tests $(PRESET)

bench: all
	@tools/run_benchmarks build/$(PRESET)

format:
	@tools/format

fuzz:
	@tools/run_fuzzers $(FUZZ_SECONDS)

clean:
	@rm -rf build sinter
