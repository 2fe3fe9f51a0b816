// Assigns memory to intermediate results. Those whose lifetimes do not overlap share it.
#pragma once

#include <cstdint>
#include <vector>

#include "compile/dispatch.h"

namespace sinter::compile {

struct MemoryPlan {
  // Slot of each buffer; -1 for weights, external buffers and buffers that no dispatch names.
  std::vector<int> slot_of;
  std::vector<uint64_t> slot_bytes;

  uint64_t total_bytes() const;
};

// Assigns slots greedily by size: the largest buffers first, each to the smallest slot that is free
// over its lifetime. Slots are whole GPU buffers and not ranges of one, because WebGPU tracks read
// and write use per buffer: one buffer may not be read and written in the same dispatch, even in
// different ranges.
MemoryPlan PlanMemory(const Lowered& lowered);

}  // namespace sinter::compile
