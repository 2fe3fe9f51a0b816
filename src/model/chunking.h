// Splits a prompt into runs of programs, each with a fixed number of rows. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sinter::model {

// Number of rows of the longest programs that loading a model compiles; longer ones are compiled
// for the first prompt that needs them. Also the default chunk if no measurement favors a larger
// one.
inline constexpr int64_t kLoadedChunk = 512;

// Returns the row counts of the prompt programs, ascending, for runs of at most `chunk` tokens. The
// longest program takes the least time per token; the shorter ones reduce the padding of the last
// run.
std::vector<int64_t> ChunkLengths(int64_t chunk);

// Returns the chunk for an adapter on which a run of kLoadedChunk rows takes `microseconds`.
int64_t ChunkFor(double microseconds);

// Returns the rows of a KV cache for sequences of `max_length` tokens, including room for padding
// after them. `chunk` is the requested chunk, or 0 for an automatic one.
int64_t CacheRows(int64_t max_length, int64_t chunk);
// Returns the length of the longest sequence whose CacheRows are at most `rows`.
int64_t LongestWithin(int64_t rows, int64_t chunk);

// Costs of runs, in units of the cost of one more row.
struct RunCosts {
  int64_t token = 1;     // cost of a run of one row; generation has its own program for it
  int64_t overhead = 0;  // cost of one more run, in addition to its rows
  int64_t Of(int64_t rows) const { return rows == 1 ? token : rows + overhead; }
};

// Costs on a GPU, which reads all weights in every run, even for few rows: Qwen3-1.7B takes 10.1,
// 16.2 and 31.7 ms for 512, 1,024 and 2,048 rows on an H100.
inline constexpr RunCosts kGpuCosts = {.token = 201, .overhead = 200};
// Costs on a CPU, where the number of rows dominates: models/demo takes 3, 29, 54, 220 and 493 ms
// for 1, 16, 64, 256 and 512 rows on lavapipe with two cores.
inline constexpr RunCosts kSoftwareCosts = {.token = 4, .overhead = 18};

// Returns the rows of each run for `tokens` tokens at the lowest cost; ties go to the cut with the
// fewest different lengths. Each run has one row or the rows of one of `lengths` (from
// ChunkLengths). Runs are in descending order, and only the last one has padding. The total number
// of rows is at most `room`, which must be at least `tokens`.
std::vector<int64_t> CutPrompt(int64_t tokens, int64_t room, std::span<const int64_t> lengths,
                               const RunCosts& costs);

}  // namespace sinter::model
