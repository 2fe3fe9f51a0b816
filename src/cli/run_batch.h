// sinter run --batch: answers a file of prompts, many at a time.
#pragma once

#include <cstdint>
#include <string>

#include "cli/messages.h"
#include "cli/model_args.h"

namespace sinter::cli {

struct RunBatchArgs {
  ModelArgs model;
  GenerateArgs generate;  // for lines that do not say otherwise
  MessageArgs messages;   // of which only the template's arguments count
  std::string system;
  bool raw = false;
  std::string file;    // '-' for standard input
  std::string output;  // empty for standard output
  bool resume = false;
  bool in_order = false;
  bool deterministic = false;
  int64_t parallel = 32;
  int64_t kv_tokens = 0;
};
// Answers the lines of the file and writes one line each. Throws ReportedError at the end if any
// line failed, and other exceptions if no further line can be answered or written. After a signal,
// stops with whole lines written.
void RunBatch(const RunBatchArgs& args);

}  // namespace sinter::cli
