// Declares how the headers of kernels name the storage buffers of their dispatches. A kernel has a
// struct of constants; the code that dispatches it gives a buffer for each name and needs no
// numbers:
//
//   struct SoftmaxRoles {
//     static constexpr Role kInput{1}, kOutput{2, Access::kWrite};
//   };
#pragma once

#include <cstdint>

namespace sinter::kernels {

// Kinds of access of a dispatch to an operand.
enum class Access {
  kRead,
  // Reads a few rows of a table: embeddings of tokens, cos and sin of positions.
  kReadRows,
  // Writes the operand, in whole or in part. The results do not depend on its previous contents.
  kWrite,
  // Reads the previous contents and writes, as for a KV cache that the kernel appends to and
  // attends over.
  kReadWrite,
  // Working memory without meaning to other dispatches. A plan that needs none of it does not bind
  // it (KernelPlan::scratch_words and row_words).
  kScratch,
};

// One operand of a kernel. Several roles may have the same binding if at most one of them is bound
// at a time.
struct Role {
  uint32_t binding = 0;
  Access access = Access::kRead;
  bool operator==(const Role&) const = default;
};

}  // namespace sinter::kernels
