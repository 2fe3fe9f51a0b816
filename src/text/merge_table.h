// Merges of a BPE model: which pairs of tokens become which token, and the order in which a word's
// tokens are merged.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sinter::text {

class MergeTable {
 public:
  // Reserves space for this number of merges.
  void Reserve(size_t merges);
  // Adds a merge of two ids, which are not negative. Merges of lower rank come first in a word. A
  // pair that is in the table already gets the new rank and id.
  void Add(int32_t left, int32_t right, uint32_t rank, int32_t merged);

  // Applies merges to the ids at the front of `ids` until none is left: the one of lowest rank
  // first, and the leftmost of these. Returns the number of ids that remain, at the front of `ids`.
  // O(n log n).
  size_t Apply(std::span<int32_t> ids) const;

 private:
  // Rank of a pair that is not in the table.
  static constexpr uint32_t kNoRank = UINT32_MAX;
  static constexpr uint64_t kNoPair = UINT64_MAX;
  struct Slot {
    uint64_t pair = kNoPair;
    uint32_t rank = kNoRank;
    int32_t merged = -1;
  };

  static uint64_t Pair(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  // Returns the pair's slot, or the empty slot where it would be added.
  const Slot& Find(int32_t left, int32_t right) const;
  void Rehash(int bits);
  size_t ApplyToFew(std::span<int32_t> ids) const;
  size_t ApplyToMany(std::span<int32_t> ids) const;

  // Hash table with linear probing, at most three quarters full. The lookups of merging are most of
  // a tokenizer's time, and this table takes half as long as std::unordered_map.
  std::vector<Slot> slots_ = std::vector<Slot>(16);
  int bits_ = 4;  // slots_.size() == 1 << bits_
  size_t pairs_ = 0;
};

}  // namespace sinter::text
