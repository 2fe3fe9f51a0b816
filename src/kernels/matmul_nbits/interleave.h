// Order of a quantized weight's rows in memory, as matmul_nbits.h and interleave.wgsl describe it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sinter::kernels {

// Number of rows that are interleaved.
inline constexpr uint32_t kInterleavedRows = 8;

// Writes bytes [first, first + out.size()) of whole groups of kInterleavedRows interleaved rows.
// `rows` has the groups row by row, with `row_bytes` bytes per row, a multiple of `unit_bytes`.
// `first` and out.size() need not be multiples of it.
void InterleaveRows(std::span<const std::byte> rows, size_t row_bytes, size_t unit_bytes,
                    size_t first, std::span<std::byte> out);

}  // namespace sinter::kernels
