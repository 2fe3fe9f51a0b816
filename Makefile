# Everyday commands, thin over the CMake presets. Each sets up what it lacks and builds.
#   make demo     stream text from the bundled model        make test    run every test
#   make bench    run the benchmarks                        make format  format the C++ sources
#   make fuzz     run the fuzz targets for SECONDS each     make clean   delete what was built

PRESET ?= release
PROMPT ?= Once upon a time
SECONDS ?= 60

.PHONY: all demo test bench format fuzz clean bootstrap configure
.DEFAULT_GOAL := all

all: configure
	@cmake --build --preset $(PRESET)

bootstrap:
	@tools/bootstrap

# Ninja configures again by itself when a CMake file changes; a prefix made anew needs it said.
configure: bootstrap
	@test -f build/$(PRESET)/build.ninja || cmake --preset $(PRESET)

demo: all
	@./sinter run models/demo -p "$(PROMPT)"

test: all
	@tools/run_tests $(PRESET)

bench: all
	@tools/run_benchmarks build/$(PRESET)

format:
	@tools/format

fuzz:
	@tools/run_fuzzers $(SECONDS)

clean:
	@rm -rf build sinter
