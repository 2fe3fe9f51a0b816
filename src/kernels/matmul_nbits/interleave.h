// The order of a quantized weight's rows in memory that matmul_nbits.h and interleave.wgsl
// describe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sinter::kernels {

// Rows that lie together.
inline constexpr uint32_t kInterleavedRows = 8;

// Writes bytes [first, first + out.size()) of whole groups of kInterleavedRows rows, interleaved.
// `rows`: the groups, row by row, of `row_bytes` each, which are whole units. `first` and
// out.size() need not be.
void InterleaveRows(std::span<const std::byte> rows, size_t row_bytes, size_t unit_bytes,
                    size_t first, std::span<std::byte> out);

}  // namespace sinter::kernels
