#include "kernels/common/row_split.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels {

std::vector<RowRange> SplitRows(const Caps& caps, uint64_t rows,
                                std::span<const uint64_t> row_bytes, uint64_t rows_at_most) {
  const uint64_t alignment = caps.limits.min_storage_offset_alignment;
  const uint64_t limit = caps.limits.max_storage_binding_bytes;
  SINTER_CHECK(alignment > 0 && limit > 0, "limits of {} and {} bytes", alignment, limit);
  uint64_t most = rows_at_most == 0 ? std::numeric_limits<uint64_t>::max() : rows_at_most;
  // Ranges start at multiples of `step` rows, at which each tensor's offset is aligned.
  uint64_t step = 1;
  uint64_t largest_row = 0;
  for (const uint64_t bytes : row_bytes) {
    if (bytes == 0) continue;
    step = std::lcm(step, alignment / std::gcd(alignment, bytes));
    // Buffers are padded to 16 bytes, and the last range binds the padding too.
    most = std::min(most, limit / 16 * 16 / bytes);
    largest_row = std::max(largest_row, bytes);
  }
  if (rows <= most) return {{0, rows}};
  most = most / step * step;
  if (most == 0) {
    throw Error("kernels",
                "weight too large for one storage binding: got rows of up to {} bytes that can be "
                "split every {} rows, want a range of at most {} bytes",
                largest_row, step, limit);
  }
  std::vector<RowRange> ranges;
  for (uint64_t begin = 0; begin < rows; begin += most) {
    ranges.push_back({begin, std::min(most, rows - begin)});
  }
  return ranges;
}

}  // namespace sinter::kernels
