// Makes page tables and caches in pages (common/kv_pages.h) for tests. Included by *_test.cc only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/common/kv_pages.h"

namespace sinter::kernels {

struct PageTable {
  uint32_t entries = 0;
  uint32_t capacity = 0;  // rows of the pool
  std::vector<double> table;
};

// Returns a table in which sequence b has enough pages for rows[b] rows, in random order and with
// unused pages between them. A sequence of no rows has page 0 only.
inline PageTable MakePageTable(uint32_t entries, const std::vector<double>& rows) {
  const auto pages = [](double count) { return static_cast<size_t>(std::ceil(count / kPageRows)); };
  size_t used = 0;
  for (const double count : rows) used += pages(count);
  std::vector<double> order(used + 2);
  std::iota(order.begin(), order.end(), 1.0);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  PageTable made = {.entries = entries,
                    .capacity = static_cast<uint32_t>(order.size() + 1) * kPageRows,
                    .table = std::vector<double>(rows.size() * entries)};
  for (size_t b = 0; b < rows.size(); ++b) {
    for (size_t i = 0; i < pages(rows[b]); ++i) {
      made.table[b * entries + i] = order.back();
      order.pop_back();
    }
  }
  return made;
}

// Returns contiguous caches [batch, heads, rows, size], of which sequence b has rows[b] rows, in
// pages. Other rows are `rest`.
inline std::vector<double> InPages(const PageTable& pages, size_t heads, size_t size,
                                   const std::vector<double>& rows,
                                   const std::vector<double>& contiguous, double rest) {
  const size_t batch = rows.size();
  const CacheRows from = {heads, pages.entries * kPageRows, 0, {}};
  const CacheRows to = {heads, pages.capacity, pages.entries, pages.table};
  std::vector<double> pool(to.Count(batch) * size, rest);
  for (size_t b = 0; b < batch; ++b) {
    for (size_t h = 0; h < heads; ++h) {
      for (size_t t = 0; t < static_cast<size_t>(rows[b]); ++t) {
        std::copy_n(&contiguous[from.At(b, h, t) * size], size, &pool[to.At(b, h, t) * size]);
      }
    }
  }
  return pool;
}

}  // namespace sinter::kernels
