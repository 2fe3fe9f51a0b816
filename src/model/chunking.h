// How a prompt is cut into runs of programs, each of a fixed number of rows. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sinter::model {

// The longest programs that are made when a model is loaded; longer ones wait for a prompt that
// needs them. Also the chunk where nothing says that more is better.
inline constexpr int64_t kLoadedChunk = 512;

// Rows of the programs that prompts go through, ascending, where one run takes `chunk` tokens at
// most: the longest is the quickest by the token, the others keep the padding of a rest low.
std::vector<int64_t> ChunkLengths(int64_t chunk);

// The chunk for an adapter on which a run of kLoadedChunk rows takes `microseconds`.
int64_t ChunkFor(double microseconds);

// Rows of a KV cache for sequences of `max_length` tokens: there is room for padding behind them.
// `chunk` is what was asked for; 0: it is chosen.
int64_t CacheRows(int64_t max_length, int64_t chunk);
// The longest sequence whose CacheRows are `rows` at most.
int64_t LongestWithin(int64_t rows, int64_t chunk);

// What runs cost, in the cost of one more row.
struct RunCosts {
  int64_t token = 1;     // a run of one row, which generation has a program of its own for
  int64_t overhead = 0;  // another run, beside its rows
  int64_t Of(int64_t rows) const { return rows == 1 ? token : rows + overhead; }
};

// A GPU reads all weights in every run, however few its rows: Qwen3-1.7B takes 10.1, 16.2 and
// 31.7 ms for 512, 1,024 and 2,048 rows on an H100.
inline constexpr RunCosts kGpuCosts = {.token = 201, .overhead = 200};
// On a CPU rows count. models/demo takes 3, 29, 54, 220 and 493 ms for 1, 16, 64, 256 and 512 on
// lavapipe with two cores.
inline constexpr RunCosts kSoftwareCosts = {.token = 4, .overhead = 18};

// The rows of each run for `tokens` tokens at least cost; of equals, those of the fewest different
// lengths. Runs have the rows of one of `lengths` (as ChunkLengths gives them) or one, descend, and
// have no padding but for the last. Their rows are `room` at most in all, which is no less than
// `tokens`.
std::vector<int64_t> CutPrompt(int64_t tokens, int64_t room, std::span<const int64_t> lengths,
                               const RunCosts& costs);

}  // namespace sinter::model
