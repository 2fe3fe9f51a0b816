// Plan of MatMulNBits for 2 to 64 rows, or a few such tiles, on the matrix units.
// matmul_nbits_narrow.wgsl has the maths.
//
// Operands: those of matmul_nbits.h, residual [M, N] if the shape has one, norm_scale [K] if it has
// a norm, and scratch if the plan uses it. All act_t are f16. Weights are rounded to f16 once
// dequantized, and rows that are normalized as well; sums are f32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// Parameters that are chosen by measurement. An element of Y is the same sum in the same order, bit
// by bit, for all tunings with equal step, split and parts, whatever the other parameters and the
// number of rows are.
struct NarrowTuning {
  uint32_t m = 16, n = 32;  // a workgroup's tile of Y; of a gated product, n / 2 columns
  uint32_t step = 128;      // length of K between two barriers
  uint32_t cols = 2;        // matrices in a subgroup's row of sums
  uint32_t split = 8;       // subgroups that share the products of a place, by slices of K
  uint32_t buffers = 1;     // steps in workgroup memory
  uint32_t depth = 4;       // steps in a thread's registers, at most
  uint32_t parts = 1;       // workgroups that share a tile, by parts of K

  bool operator==(const NarrowTuning&) const = default;
};

// Mirrors struct Params in matmul_nbits_narrow.wgsl.
struct MatMulNBitsNarrowParams {
  uint32_t m, unused[3];
};
static_assert(sizeof(MatMulNBitsNarrowParams) == 16);

// Largest number of rows for which these plans are offered.
inline constexpr uint32_t kMatMulNBitsNarrowRows = 256;

// Returns the variant's name, such as `narrow.16x32x128.c2.k8.d4`, followed by `.double` for two
// buffers and `.p2` for two parts.
std::string NarrowVariant(const NarrowTuning& tuning);

// Returns the tunings that this adapter can run for the shape, the best guess first. Empty if the
// adapter has no f16 matrices with f32 sums or subgroups of varying size, or if the kernel does not
// support the shape.
std::vector<NarrowTuning> NarrowTunings(const Caps& caps, const MatMulNBitsShape& shape);

// Returns the largest scratch of all these tunings.
uint64_t NarrowScratchWords(const Caps& caps, const MatMulNBitsShape& shape);

// Plans one dispatch. Throws BugError for a tuning that the adapter cannot run.
KernelPlan PlanMatMulNBitsNarrow(const Caps& caps, const MatMulNBitsShape& shape,
                                 const NarrowTuning& tuning);

}  // namespace sinter::kernels
