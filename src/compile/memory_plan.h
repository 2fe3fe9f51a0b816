// Which intermediate results may share memory: those whose lives do not overlap.
#pragma once

#include <cstdint>
#include <vector>

#include "compile/dispatch.h"

namespace sinter::compile {

struct MemoryPlan {
  // By buffer: the slot that it lives in; -1 for weights, external buffers and buffers that no
  // dispatch names.
  std::vector<int> slot_of;
  std::vector<uint64_t> slot_bytes;

  uint64_t total_bytes() const;
};

// Greedy by size: large buffers choose first, each takes the smallest slot that is free over its
// life. Slots are whole GPU buffers and not ranges of one, since WebGPU tracks read and write use
// by buffer: one buffer may not be read and written in the same dispatch, whatever the ranges.
MemoryPlan PlanMemory(const Lowered& lowered);

}  // namespace sinter::compile
