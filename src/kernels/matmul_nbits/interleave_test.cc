// Tests the order of rows in memory, in pieces of every size.

#include "kernels/matmul_nbits/interleave.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/check.h"

namespace sinter::kernels {
namespace {

// Returns two interleaved groups of rows of `units` units; each byte is its own number, as the
// header's comment says.
std::vector<std::byte> Expected(const std::vector<std::byte>& rows, size_t units,
                                size_t unit_bytes) {
  std::vector<std::byte> all;
  for (size_t group = 0; group < 2; ++group) {
    for (size_t unit = 0; unit < units; ++unit) {
      for (size_t row = 0; row < kInterleavedRows; ++row) {
        const size_t at = ((group * kInterleavedRows + row) * units + unit) * unit_bytes;
        for (size_t i = 0; i < unit_bytes; ++i) all.push_back(rows[at + i]);
      }
    }
  }
  return all;
}

TEST(InterleaveRows, MakesAnyPiece) {
  for (const size_t unit_bytes : {1u, 2u, 3u, 4u, 8u, 16u}) {
    const size_t units = 5, row_bytes = units * unit_bytes;
    std::vector<std::byte> rows(2 * kInterleavedRows * row_bytes);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::byte>(i * 131 >> 3);
    const std::vector<std::byte> expected = Expected(rows, units, unit_bytes);
    for (size_t first = 0; first < rows.size(); first += 7) {
      for (const size_t size : {size_t{0}, size_t{1}, size_t{13}, rows.size() - first}) {
        if (first + size > rows.size()) continue;
        std::vector<std::byte> out(size);
        InterleaveRows(rows, row_bytes, unit_bytes, first, out);
        ASSERT_TRUE(
            std::equal(out.begin(), out.end(), expected.begin() + static_cast<ptrdiff_t>(first)))
            << unit_bytes << " from " << first << ", " << size;
      }
    }
  }
}

TEST(InterleaveRows, RefusesPartsOfGroups) {
  std::vector<std::byte> rows(7 * 4), out(4);
  EXPECT_THROW(InterleaveRows(rows, 4, 2, 0, out), BugError);
  rows.resize(8 * 4);
  EXPECT_THROW(InterleaveRows(rows, 4, 3, 0, out), BugError);
  EXPECT_THROW(InterleaveRows(rows, 4, 2, 30, out), BugError);
}

}  // namespace
}  // namespace sinter::kernels
