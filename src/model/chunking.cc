#include "model/chunking.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"

namespace sinter::model {
namespace {

// 1,024 serves prompts of 513 to 1,024 tokens, for which 2,048 rows would be mostly padding.
constexpr int64_t kLengths[] = {16, 64, 256, kLoadedChunk, 1024, 2048};

// Upper bound on the time of one run. The GPU cannot update the display during a run, and drivers
// kill work that takes seconds.
constexpr double kMostMicroseconds = 100'000;

// Rows reserved for padding after the longest sequence. They take 29 MB of Qwen3-1.7B's cache,
// where 4,096 tokens take 470 MB. The cheapest cut needs up to 447 rows of padding; with this bound
// every cut costs less than 8% more than the cheapest.
constexpr int64_t kPaddingRows = 256;

int64_t MostPadding(int64_t chunk) {
  return chunk == 0 ? kPaddingRows : std::min(chunk, kPaddingRows);
}

// Factor between the two parts of a combined cost: rows * kCostUnit + number of different lengths.
// The number of lengths breaks ties between equal row costs.
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
    const int64_t runs = chunk / kLoadedChunk;
    if (microseconds * static_cast<double>(runs) < kMostMicroseconds) return chunk;
  }
  return kLoadedChunk;
}

int64_t CacheRows(int64_t max_length, int64_t chunk) {
  // A short sequence needs at most max_length rows of padding, because no run is longer than the
  // sequence.
  return max_length + std::min(max_length, MostPadding(chunk));
}

int64_t LongestWithin(int64_t rows, int64_t chunk) {
  return std::max(rows / 2, rows - MostPadding(chunk));
}

std::vector<int64_t> CutPrompt(int64_t tokens, int64_t room, std::span<const int64_t> lengths,
                               const RunCosts& costs) {
  SINTER_CHECK(tokens >= 1 && tokens <= room, "{} tokens, room for {}", tokens, room);
  std::vector<int64_t> runs;
  // Several shorter runs with as many rows as the largest run cost more than it, so a cheapest cut
  // starts with largest runs as long as enough tokens are left. An arbitrary --chunk may have
  // lengths that do not divide the largest and combine better, so the loop keeps twice the largest
  // for the search below.
  const int64_t largest = lengths.back();
  for (; tokens > 2 * largest; tokens -= largest, room -= largest) runs.push_back(largest);

  std::vector<int64_t> sizes = {1};
  for (const int64_t length : lengths) {
    if (length > 1) sizes.push_back(length);
  }
  // Upper bound on the total rows of a cheapest cut: those of the shortest program that takes all
  // tokens, or else of the fewest largest runs. More rows cost more.
  const auto fits = std::lower_bound(sizes.begin(), sizes.end(), tokens);
  const int64_t most =
      std::min(room, fits != sizes.end() ? *fits : (tokens + largest - 1) / largest * largest);

  // any[k][n] is the lowest cost of exactly n rows with the first k sizes. with[k][n] is the lowest
  // cost if the k-th size is used at least once.
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
