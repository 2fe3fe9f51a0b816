// Places of rows in a KV cache: contiguous by sequence, or in pages that a table lists.
//
// A cache in pages is a pool [heads, capacity, head_size] for all sequences. A page is kPageRows
// consecutive rows of the pool, in every head. The table is i32 [batch, entries]: row t of sequence
// b is in page table[b, t / kPageRows]. Sequences may share pages that none of them writes. Unused
// entries are 0, and page 0 belongs to no sequence: any of them may write there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sinter::kernels {

// kPageRows in kv_pages.wgsl.
inline constexpr uint32_t kPageRows = 64;

// Returns the rows that a sequence can have in a cache with `capacity` rows in a head. Without
// entries the cache is [batch, heads, capacity, head_size], not in pages.
constexpr uint32_t SequenceRows(uint32_t capacity, uint32_t page_entries) {
  return page_entries == 0 ? capacity : page_entries * kPageRows;
}

// The rows of a cache, for references.
struct CacheRows {
  size_t heads, capacity, page_entries;
  std::span<const double> page_table;

  // Returns the number of rows of the whole cache.
  size_t Count(size_t batch) const { return (page_entries == 0 ? batch : 1) * heads * capacity; }
  // Returns the index of row t of a head of sequence b.
  size_t At(size_t b, size_t head, size_t t) const {
    if (page_entries == 0) return (b * heads + head) * capacity + t;
    const size_t entry = std::min<size_t>(t / kPageRows, page_entries - 1);
    const auto page = static_cast<size_t>(page_table[b * page_entries + entry]);
    return head * capacity + page * kPageRows + t % kPageRows;
  }
};

}  // namespace sinter::kernels
