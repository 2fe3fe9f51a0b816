#include "model/chunking.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"

namespace sinter::model {
namespace {

// 1,024 is what prompts of 513 to 1,024 tokens want, where 2,048 rows would be mostly padding.
constexpr int64_t kLengths[] = {16, 64, 256, kLoadedChunk, 1024, 2048};

// So long may one run take: the GPU shows nothing else meanwhile, and drivers end what takes
// seconds.
constexpr double kMostMicroseconds = 100'000;

// Padding that there is room for behind the longest sequence: 29 MB of Qwen3-1.7B's cache, where
// 4,096 tokens are 470 MB. The cheapest cut wants up to 447 rows of it; with these no cut costs 8%
// more.
constexpr int64_t kPaddingRows = 256;

int64_t MostPadding(int64_t chunk) {
  return chunk == 0 ? kPaddingRows : std::min(chunk, kPaddingRows);
}

// A cost is a number of rows; below it in the same number goes the count of different lengths, by
// which equals are told apart.
constexpr int64_t kCostUnit = 64;
constexpr int64_t kNever = INT64_MAX / 2;

}  // namespace

std::vector<int64_t> ChunkLengths(int64_t chunk) {
  std::vector<int64_t> lengths;
  for (const int64_t length : kLengths) {
    if (length < chunk) lengths.push_back(length);
  }
  lengths.push_back(chunk);
  return lengths;
}

int64_t ChunkFor(double microseconds) {
  for (const int64_t chunk : {int64_t{2048}, int64_t{1024}}) {
    if (microseconds * static_cast<double>(chunk / kLoadedChunk) < kMostMicroseconds) return chunk;
  }
  return kLoadedChunk;
}

int64_t CacheRows(int64_t max_length, int64_t chunk) {
  // A short sequence needs no more: no run is longer than the sequence may be.
  return max_length + std::min(max_length, MostPadding(chunk));
}

int64_t LongestWithin(int64_t rows, int64_t chunk) {
  return std::max(rows / 2, rows - MostPadding(chunk));
}

std::vector<int64_t> CutPrompt(int64_t tokens, int64_t room, std::span<const int64_t> lengths,
                               const RunCosts& costs) {
  SINTER_CHECK(tokens >= 1 && tokens <= room, "{} tokens, room for {}", tokens, room);
  std::vector<int64_t> runs;
  // Several runs that together have the rows of the largest cost more than it does, so that a
  // cheapest cut begins with the largest for as long as that many rows are left. (Lengths that do
  // not divide the largest, below a --chunk of any number, might do better; hence twice as many.)
  const int64_t largest = lengths.back();
  for (; tokens > 2 * largest; tokens -= largest, room -= largest) runs.push_back(largest);

  std::vector<int64_t> sizes = {1};
  for (const int64_t length : lengths) {
    if (length > 1) sizes.push_back(length);
  }
  // More rows than the fewest runs have cost more: those of the shortest program that takes all, or
  // of the largest.
  const auto fits = std::lower_bound(sizes.begin(), sizes.end(), tokens);
  const int64_t most =
      std::min(room, fits != sizes.end() ? *fits : (tokens + largest - 1) / largest * largest);

  // The least cost of exactly n rows by the first k sizes is any[k][n]; with the k-th among them it
  // is with[k][n].
  const auto width = static_cast<size_t>(most) + 1;
  std::vector<std::vector<int64_t>> any(sizes.size() + 1), with(sizes.size() + 1);
  any[0].assign(width, kNever);
  any[0][0] = 0;
  for (size_t k = 1; k <= sizes.size(); ++k) {
    const auto size = static_cast<size_t>(sizes[k - 1]);
    const int64_t cost = costs.Of(sizes[k - 1]) * kCostUnit;
    any[k] = any[k - 1];
    with[k].assign(width, kNever);
    for (size_t n = size; n < width; ++n) {
      with[k][n] = std::min(kNever, cost + std::min(with[k][n - size], any[k - 1][n - size] + 1));
      any[k][n] = std::min(any[k][n], with[k][n]);
    }
  }
  const std::vector<int64_t>& best = any.back();
  size_t n =
      static_cast<size_t>(std::min_element(best.begin() + tokens, best.end()) - best.begin());
  for (size_t k = sizes.size(); n > 0; --k) {
    if (any[k][n] == any[k - 1][n]) continue;
    const auto size = static_cast<size_t>(sizes[k - 1]);
    const int64_t cost = costs.Of(sizes[k - 1]) * kCostUnit;
    for (bool last = false; !last; n -= size) {
      runs.push_back(sizes[k - 1]);
      last = with[k][n] == cost + any[k - 1][n - size] + 1;
    }
  }
  return runs;
}

}  // namespace sinter::model
