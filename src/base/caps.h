// Capabilities of an adapter as plain data. Kernels are chosen by these alone. Uses no WebGPU
// types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace sinter {

// Supported shape of a subgroup matrix product: [M, K] x [K, N] of type `component`, accumulated in
// type `result`.
struct SubgroupMatrixConfig {
  DType component = DType::kUndefined;
  DType result = DType::kUndefined;
  uint32_t m = 0, n = 0, k = 0;
  bool operator==(const SubgroupMatrixConfig&) const = default;
};

// Adapter limits that planning reads, with WebGPU's names and default values.
struct Limits {
  uint64_t max_buffer_size = 256u << 20;
  uint64_t max_storage_binding_bytes = 128u << 20;
  uint32_t max_storage_buffers_per_stage = 8;
  uint32_t max_workgroup_storage_bytes = 16384;
  uint32_t max_invocations_per_workgroup = 256;
  uint32_t max_workgroup_size_x = 256;
  uint32_t max_workgroups_per_dimension = 65535;
  uint32_t min_storage_offset_alignment = 256;
  uint32_t min_uniform_offset_alignment = 256;
};

struct Caps {
  bool software = false;   // a CPU that emulates a GPU: features without CPU support are slow
  bool f16 = false;        // shader-f16
  bool subgroups = false;  // subgroup operations, including f16 ones if `f16` is set
  uint32_t subgroup_min_size = 0;
  uint32_t subgroup_max_size = 0;
  bool timestamps = false;
  bool packed_dot_product = false;  // dot4I8Packed and dot4U8Packed
  std::vector<SubgroupMatrixConfig> subgroup_matrix;
  Limits limits;

  // Returns the number of lanes that every subgroup has, or 0 if sizes vary or there are no
  // subgroups.
  uint32_t fixed_subgroup_size() const {
    return subgroups && subgroup_min_size == subgroup_max_size ? subgroup_min_size : 0;
  }
};

}  // namespace sinter
