// Splits a weight whose rows do not fit one storage binding into ranges of rows, with one dispatch
// per range.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/caps.h"

namespace sinter::kernels {

// Rows [begin, begin + count).
struct RowRange {
  uint64_t begin = 0, count = 0;
  bool operator==(const RowRange&) const = default;
};

// Returns the fewest ranges that cover rows [0, rows) such that every tensor bound with them fits
// one storage binding of this adapter and starts at an offset that a binding may have. `row_bytes`
// has the bytes of one row of each tensor that is bound by range (weight, scales, zero points,
// bias): a range occupies [begin, begin + count) * row_bytes[i] bytes of tensor i. `rows_at_most`
// also bounds the rows of a range (0: no bound), for shaders that index elements in 32 bits.
//
// Returns one range if everything fits. Throws Error if not even the smallest aligned range fits.
std::vector<RowRange> SplitRows(const Caps& caps, uint64_t rows,
                                std::span<const uint64_t> row_bytes, uint64_t rows_at_most = 0);

}  // namespace sinter::kernels
