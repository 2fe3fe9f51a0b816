// What a kernel's Plan function returns: everything that one dispatch needs except the buffers.
// Pure data.
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

// The counters at the beginning of a scratch.
inline constexpr uint32_t kCounterWords = 4096;

// One dispatch. Two plans with equal `wgsl`, `prelude` and `defines` share a pipeline, and must
// have equal `variant`.
struct KernelPlan {
  // Cache key, label, trace zone and benchmark name: `matmul_nbits.f16.b4.blk32.wg128`. It names
  // everything that `prelude` and `defines` depend on.
  std::string variant;
  // The shader: path below src/kernels, such as `matmul_nbits/matmul_nbits.wgsl`.
  std::string_view wgsl;
  // WGSL lines that the host puts before the file: `alias act_t = f16;`, `const kBlockSize = 32u;`.
  std::string prelude;
  // Names that are true in the file's `#if`; `f16` and `subgroups` also enable the WGSL extensions.
  std::vector<std::string> defines;
  // Contents of the uniform buffer at @binding(0): the kernel's Params struct, a multiple of 16
  // bytes. Empty: the shader has none.
  std::vector<std::byte> params;
  std::array<uint32_t, 3> workgroups = {1, 1, 1};
  // Words of scratch that the dispatch binds, where it does. The first kCounterWords of them are
  // zero before and after it, the others of no particular content.
  uint64_t scratch_words = 0;
  // Words that a layer_chain needs of the buffer through which its workgroups hand rows on.
  uint64_t row_words = 0;

  template <typename Params>
  void SetParams(const Params& value) {
    static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) % 16 == 0);
    params.resize(sizeof(Params));
    std::memcpy(params.data(), &value, sizeof(Params));
  }
};

// A one-dimensional grid of `count` workgroups folded into two dimensions where it passes the limit
// of one; the shader takes `workgroup_id.y * grid_x + workgroup_id.x`, with grid_x = workgroups[0]
// in its params, and returns where that is past its work.
std::array<uint32_t, 3> FoldGrid(const Caps& caps, uint64_t count);

// The WGSL type of an activation of `dtype` on this adapter: `f16` only where the adapter has it,
// else `f32`; `i32` for both integer types; `u32` for bool. Throws Error for a type that has no
// form on the GPU.
std::string_view WgslType(const Caps& caps, DType dtype);

// The DType that an ONNX tensor of `dtype` has in GPU memory on this adapter (kF16 -> kF32 without
// shader-f16, kI64 -> kI32, kBool -> kU32; kU8 stays, packed four to a word).
DType DeviceDType(const Caps& caps, DType dtype);

// Throws Error: an unknown or unfitting forced variant. `known` lists what there is on this
// adapter.
[[noreturn]] void ThrowUnknownVariant(std::string_view kernel, std::string_view variant,
                                      const std::vector<std::string>& known);

}  // namespace sinter::kernels
