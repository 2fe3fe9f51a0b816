// Result of a kernel's Plan function: everything that one dispatch needs except the buffers. Pure
// data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/caps.h"
#include "base/dtype.h"

namespace sinter::kernels {

// Number of counters at the beginning of a scratch buffer.
inline constexpr uint32_t kCounterWords = 4096;

// One dispatch. Two plans with equal `wgsl`, `prelude` and `defines` share a pipeline, and must
// have equal `variant`.
struct KernelPlan {
  // Cache key, label, trace zone and benchmark name: `matmul_nbits.f16.b4.blk32.wg128`. It names
  // everything that `prelude` and `defines` depend on.
  std::string variant;
  // Shader, as a path below src/kernels such as `matmul_nbits/matmul_nbits.wgsl`.
  std::string_view wgsl;
  // WGSL lines that the host prepends to the file: `alias act_t = f16;`, `const kBlockSize = 32u;`.
  std::string prelude;
  // Names that are true in the file's `#if`; `f16` and `subgroups` also enable the WGSL extensions.
  std::vector<std::string> defines;
  // Contents of the uniform buffer at @binding(0): the kernel's Params struct, a multiple of 16
  // bytes. Empty if the shader has none.
  std::vector<std::byte> params;
  std::array<uint32_t, 3> workgroups = {1, 1, 1};
  // Words of scratch that the dispatch uses; 0 if it does not bind the scratch. The first
  // kCounterWords words are zero before and after the dispatch. The others have no defined content.
  uint64_t scratch_words = 0;
  // Words that a layer_chain needs in the buffer through which its workgroups pass rows.
  uint64_t row_words = 0;

  template <typename Params>
  void SetParams(const Params& value) {
    static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) % 16 == 0);
    params.resize(sizeof(Params));
    std::memcpy(params.data(), &value, sizeof(Params));
  }
};

// Returns a one-dimensional grid of `count` workgroups, folded into two dimensions if it exceeds
// the limit of one. The shader computes `workgroup_id.y * grid_x + workgroup_id.x`, with grid_x =
// workgroups[0] in its params, and returns if that is past its work.
std::array<uint32_t, 3> FoldGrid(const Caps& caps, uint64_t count);

// Returns the WGSL type of an activation of `dtype` on this adapter: `f16` if the adapter has it,
// otherwise `f32`; `i32` for both integer types; `u32` for bool. Throws Error for a type without a
// form on the GPU.
std::string_view WgslType(const Caps& caps, DType dtype);

// Returns the DType that an ONNX tensor of `dtype` has in GPU memory on this adapter: kF16 becomes
// kF32 without shader-f16, kI64 becomes kI32, kBool becomes kU32, and kU8 stays, packed four to a
// word. Throws Error for other types.
DType DeviceDType(const Caps& caps, DType dtype);

// Throws Error for a forced variant that is unknown or does not fit. `known` lists the variants
// that this adapter has.
[[noreturn]] void ThrowUnknownVariant(std::string_view kernel, std::string_view variant,
                                      const std::vector<std::string>& known);

}  // namespace sinter::kernels
