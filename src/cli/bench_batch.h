// sinter bench --batch: measures many sequences side by side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/model_args.h"
#include "generate/benchmark.h"

namespace sinter::cli {

struct BatchBenchArgs {
  ModelArgs model;
  std::vector<int64_t> batches;   // numbers of sequences
  std::vector<int64_t> contexts;  // tokens of their prompts
  generate::BenchmarkOptions options;
  bool deterministic = false;
  std::string csv;  // empty: no file
};
// Measures each number of sequences behind each context, and prints the figures.
void BenchBatch(const BatchBenchArgs& args);

}  // namespace sinter::cli
