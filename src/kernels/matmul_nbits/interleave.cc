#include "kernels/matmul_nbits/interleave.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace sinter::kernels {
namespace {

// If the size of a unit is known, copying it takes one or two instructions.
template <size_t kUnitBytes>
void Interleave(const std::byte* rows, size_t row_bytes, size_t unit_bytes, size_t first_unit,
                std::span<std::byte> out) {
  const size_t size = kUnitBytes == 0 ? unit_bytes : kUnitBytes;
  const size_t units = row_bytes / size;
  size_t row = first_unit % kInterleavedRows;
  size_t unit = first_unit / kInterleavedRows % units;
  const std::byte* group =
      rows + first_unit / kInterleavedRows / units * kInterleavedRows * row_bytes;
  for (size_t at = 0; at < out.size(); at += size) {
    std::memcpy(out.data() + at, group + row * row_bytes + unit * size, size);
    if (++row < kInterleavedRows) continue;
    row = 0;
    if (++unit < units) continue;
    unit = 0;
    group += kInterleavedRows * row_bytes;
  }
}

}  // namespace

void InterleaveRows(std::span<const std::byte> rows, size_t row_bytes, size_t unit_bytes,
                    size_t first, std::span<std::byte> out) {
  SINTER_CHECK(unit_bytes > 0 && row_bytes % unit_bytes == 0 &&
                   rows.size() % (kInterleavedRows * row_bytes) == 0 &&
                   first + out.size() <= rows.size(),
               "{} bytes from {} on of {}, in rows of {} and units of {}", out.size(), first,
               rows.size(), row_bytes, unit_bytes);
  // Copies parts of units at either end.
  const auto part_of_unit = [&](size_t at, std::span<std::byte> part) {
    const size_t unit = at / unit_bytes;
    const size_t group_bytes = kInterleavedRows * row_bytes;
    const size_t row = unit % kInterleavedRows;
    const size_t column = unit / kInterleavedRows % (row_bytes / unit_bytes);
    std::memcpy(part.data(),
                rows.data() + at / group_bytes * group_bytes + row * row_bytes +
                    column * unit_bytes + at % unit_bytes,
                part.size());
  };
  if (const size_t inside = first % unit_bytes; inside != 0 && !out.empty()) {
    const size_t count = std::min(unit_bytes - inside, out.size());
    part_of_unit(first, out.first(count));
    first += count;
    out = out.subspan(count);
  }
  if (const size_t rest = out.size() % unit_bytes; rest != 0) {
    part_of_unit(first + out.size() - rest, out.last(rest));
    out = out.first(out.size() - rest);
  }
  const size_t first_unit = first / unit_bytes;
  switch (unit_bytes) {
    case 16:
      return Interleave<16>(rows.data(), row_bytes, unit_bytes, first_unit, out);
    case 8:
      return Interleave<8>(rows.data(), row_bytes, unit_bytes, first_unit, out);
    case 4:
      return Interleave<4>(rows.data(), row_bytes, unit_bytes, first_unit, out);
    case 2:
      return Interleave<2>(rows.data(), row_bytes, unit_bytes, first_unit, out);
    case 1:
      return Interleave<1>(rows.data(), row_bytes, unit_bytes, first_unit, out);
    default:
      return Interleave<0>(rows.data(), row_bytes, unit_bytes, first_unit, out);
  }
}

}  // namespace sinter::kernels
