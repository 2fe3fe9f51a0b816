// How a kernel's header declares the storage buffers of its dispatches. A struct of constants names
// each one; what dispatches the kernel gives a buffer for a name and needs no numbers:
//
//   struct SoftmaxRoles {
//     static constexpr Role kInput{1}, kOutput{2, Access::kWrite};
//   };
#pragma once

#include <cstdint>

namespace sinter::kernels {

// What a dispatch does with an operand.
enum class Access {
  kRead,
  // Reads a few rows of a table: embeddings of tokens, cos and sin of positions.
  kReadRows,
  // Writes, in whole or in part. What the buffer held before plays no role in the results.
  kWrite,
  // Reads what was there, and writes: a KV cache that the kernel appends to and attends over.
  kReadWrite,
  // Memory to work in, of no meaning to other dispatches. A plan without KernelPlan::scratch_words
  // does not bind it.
  kScratch,
};

// One operand of a kernel. Several roles may have one binding where only one of them is ever bound.
struct Role {
  uint32_t binding = 0;
  Access access = Access::kRead;
  bool operator==(const Role&) const = default;
};

}  // namespace sinter::kernels
