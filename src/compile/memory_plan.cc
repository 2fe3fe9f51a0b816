#include "compile/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace sinter::compile {
namespace {

// First and last dispatch that name the buffer.
struct Life {
  int begin = -1, end = -1;
  bool Overlaps(const Life& other) const { return begin <= other.end && other.begin <= end; }
};

}  // namespace

uint64_t MemoryPlan::total_bytes() const {
  return std::accumulate(slot_bytes.begin(), slot_bytes.end(), uint64_t{0});
}

MemoryPlan PlanMemory(const Lowered& lowered) {
  std::vector<Life> lives(lowered.buffers.size());
  for (size_t i = 0; i < lowered.dispatches.size(); ++i) {
    for (const Operand& operand : lowered.dispatches[i].operands) {
      Life& life = lives[static_cast<size_t>(operand.buffer.buffer)];
      if (life.begin < 0) life.begin = static_cast<int>(i);
      life.end = static_cast<int>(i);
    }
  }
  std::vector<size_t> order;
  for (size_t i = 0; i < lives.size(); ++i) {
    if (lives[i].begin >= 0 && lowered.buffers[i].kind == BufferInfo::Kind::kIntermediate)
      order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return lowered.buffers[a].bytes > lowered.buffers[b].bytes;
  });

  MemoryPlan plan;
  plan.slot_of.assign(lives.size(), -1);
  std::vector<std::vector<Life>> residents;
  for (const size_t buffer : order) {
    int best = -1;
    for (size_t slot = 0; slot < residents.size(); ++slot) {
      const bool free =
          std::none_of(residents[slot].begin(), residents[slot].end(),
                       [&](const Life& life) { return life.Overlaps(lives[buffer]); });
      if (free &&
          (best < 0 || plan.slot_bytes[slot] < plan.slot_bytes[static_cast<size_t>(best)])) {
        best = static_cast<int>(slot);
      }
    }
    if (best < 0) {
      best = static_cast<int>(residents.size());
      residents.emplace_back();
      plan.slot_bytes.push_back(lowered.buffers[buffer].bytes);
    }
    residents[static_cast<size_t>(best)].push_back(lives[buffer]);
    plan.slot_of[buffer] = best;
  }
  return plan;
}

}  // namespace sinter::compile
