#include "text/merge_table.h"

#include <array>
#include <queue>

namespace sinter::text {
namespace {

// Largest number of ids for which looking at all pairs after each merge is faster than a queue.
constexpr size_t kFewIds = 48;

}  // namespace

const MergeTable::Slot& MergeTable::Find(int32_t left, int32_t right) const {
  const uint64_t pair = Pair(left, right);
  const size_t mask = slots_.size() - 1;
  // Multiplication by 2^64 / golden ratio spreads pairs of small ids over the upper bits.
  size_t i = (pair * 0x9E3779B97F4A7C15u) >> (64 - bits_);
  while (slots_[i].pair != pair && slots_[i].pair != kNoPair) i = (i + 1) & mask;
  return slots_[i];
}

void MergeTable::Rehash(int bits) {
  std::vector<Slot> old(size_t{1} << bits);
  old.swap(slots_);
  bits_ = bits;
  for (const Slot& slot : old) {
    if (slot.pair == kNoPair) continue;
    const auto left = static_cast<int32_t>(slot.pair >> 32);
    const auto right = static_cast<int32_t>(slot.pair & UINT32_MAX);
    const_cast<Slot&>(Find(left, right)) = slot;
  }
}

void MergeTable::Reserve(size_t merges) {
  int bits = bits_;
  while (merges > (size_t{3} << bits) / 4) ++bits;
  if (bits > bits_) Rehash(bits);
}

void MergeTable::Add(int32_t left, int32_t right, uint32_t rank, int32_t merged) {
  Reserve(pairs_ + 1);
  auto& slot = const_cast<Slot&>(Find(left, right));
  if (slot.pair == kNoPair) ++pairs_;
  slot = {Pair(left, right), rank, merged};
}

size_t MergeTable::Apply(std::span<int32_t> ids) const {
  return ids.size() <= kFewIds ? ApplyToFew(ids) : ApplyToMany(ids);
}

size_t MergeTable::ApplyToFew(std::span<int32_t> ids) const {
  size_t count = ids.size();
  // merges[i] is the slot of ids[i] and ids[i + 1].
  std::array<const Slot*, kFewIds> merges;
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = &Find(ids[i], ids[i + 1]);
  while (count > 1) {
    size_t at = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i]->rank < merges[at]->rank) at = i;
    }
    if (merges[at]->rank == kNoRank) break;
    ids[at] = merges[at]->merged;
    --count;
    for (size_t i = at + 1; i < count; ++i) {
      ids[i] = ids[i + 1];
      merges[i - 1] = merges[i];
    }
    if (at > 0) merges[at - 1] = &Find(ids[at - 1], ids[at]);
    if (at + 1 < count) merges[at] = &Find(ids[at], ids[at + 1]);
  }
  return count;
}

// The ids form a linked list. Pairs wait in a priority queue and are compared with the list when
// they are taken out, because an earlier merge may have changed their ids.
size_t MergeTable::ApplyToMany(std::span<int32_t> ids) const {
  struct Symbol {
    int32_t id;
    int32_t previous;
    int32_t next;
    uint32_t rank;  // of the merge with the next symbol; kNoRank also if the symbol is merged away
    int32_t merged;
  };
  const auto count = static_cast<int32_t>(ids.size());
  std::vector<Symbol> symbols(ids.size());
  // Each element is a rank and, in the lower half, a position: the smallest is the next merge.
  std::vector<uint64_t> waiting;
  waiting.reserve(ids.size());
  const auto element = [](uint32_t rank, int32_t position) {
    return uint64_t{rank} << 32 | static_cast<uint32_t>(position);
  };
  for (int32_t i = 0; i < count; ++i) {
    const Slot& slot = i + 1 < count ? Find(ids[i], ids[i + 1]) : Slot();
    symbols[i] = {ids[i], i - 1, i + 1 < count ? i + 1 : -1, slot.rank, slot.merged};
    if (slot.rank != kNoRank) waiting.push_back(element(slot.rank, i));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue({},
                                                                             std::move(waiting));
  const auto update = [&](int32_t position) {
    Symbol& symbol = symbols[position];
    const Slot& slot = symbol.next >= 0 ? Find(symbol.id, symbols[symbol.next].id) : Slot();
    symbol.rank = slot.rank;
    symbol.merged = slot.merged;
    if (slot.rank != kNoRank) queue.push(element(slot.rank, position));
  };
  while (!queue.empty()) {
    const auto rank = static_cast<uint32_t>(queue.top() >> 32);
    const auto position = static_cast<int32_t>(queue.top() & UINT32_MAX);
    queue.pop();
    Symbol& symbol = symbols[position];
    if (symbol.rank != rank) continue;
    Symbol& right = symbols[symbol.next];
    right.rank = kNoRank;
    symbol.id = symbol.merged;
    symbol.next = right.next;
    if (symbol.next >= 0) symbols[symbol.next].previous = position;
    update(position);
    if (symbol.previous >= 0) update(symbol.previous);
  }
  size_t left = 0;
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids[left++] = symbols[i].id;
  return left;
}

}  // namespace sinter::text
