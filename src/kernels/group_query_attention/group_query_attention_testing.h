// Provides random inputs of com.microsoft's GroupQueryAttention for the tests of the kernels that
// read the node's inputs. Included by *_test.cc only.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/group_query_attention/group_query_attention_decode.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels::gqa_testing {

// Values of the shape's type; empty if the shape does not have the input.
struct Inputs {
  std::vector<double> query, key, value, k_cache, v_cache, seqlens_k, cos, sin, q_norm, k_norm,
      positions, page_table;
};

inline Inputs MakeInputs(const GroupQueryAttentionDecodeShape& shape,
                         const std::vector<double>& seqlens_k,
                         const std::vector<double>& page_table = {}) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const size_t size = attention.head_size, queries = size_t{attention.batch} * attention.sequence;
  const auto random = [&](size_t count, uint32_t seed) {
    return RandomValues(attention.dtype, count, seed);
  };
  Inputs inputs;
  inputs.query = random(queries * shape.row(), 1);
  inputs.key = random(shape.packed ? 0 : queries * attention.kv_heads * size, 2);
  inputs.value = random(inputs.key.size(), 3);
  const CacheRows rows = {attention.kv_heads, attention.capacity, attention.page_entries,
                          page_table};
  inputs.k_cache = random(rows.Count(attention.batch) * size, 4);
  inputs.v_cache = random(inputs.k_cache.size(), 5);
  inputs.seqlens_k = seqlens_k;
  inputs.page_table = page_table;
  for (const double angle : random(size_t{shape.rotary_rows} * shape.rotary_dim / 2, 6)) {
    inputs.cos.push_back(std::cos(angle));
    inputs.sin.push_back(std::sin(angle));
  }
  inputs.cos = RoundTo(attention.dtype, std::move(inputs.cos));
  inputs.sin = RoundTo(attention.dtype, std::move(inputs.sin));
  inputs.q_norm = random(shape.has_norm ? size : 0, 7);
  inputs.k_norm = random(shape.has_norm ? size : 0, 8);
  if (shape.rotary_dim > 0 && shape.positions == RotaryPositions::kPositionIds) {
    for (size_t i = 0; i < queries; ++i)
      inputs.positions.push_back(double((i * 7 + 3) % shape.rotary_rows));
  }
  return inputs;
}

// Returns the operand of the page table.
inline Operand PageTableOperand(const std::vector<double>& page_table) {
  return page_table.empty() ? Operand::Absent() : Operand::Input(DType::kI32, page_table);
}

// Returns bindings 1 to 11, of type `dtype` on the device. `k_after` and `v_after` are the expected
// contents of the caches; the tolerances apply to keys.
inline std::vector<Operand> MakeOperands(const Inputs& inputs, DType dtype,
                                         std::vector<double> k_after, std::vector<double> v_after,
                                         double k_abs_tolerance, double k_rel_tolerance = 0) {
  const auto input = [&](const std::vector<double>& values) {
    return values.empty() ? Operand::Absent() : Operand::Input(dtype, values);
  };
  return {
      input(inputs.query),
      input(inputs.key),
      input(inputs.value),
      {.dtype = dtype,
       .values = inputs.k_cache,
       .expected = std::move(k_after),
       .abs_tolerance = k_abs_tolerance,
       .rel_tolerance = k_rel_tolerance},
      {.dtype = dtype, .values = inputs.v_cache, .expected = std::move(v_after)},
      Operand::Input(DType::kI32, inputs.seqlens_k),
      input(inputs.cos),
      input(inputs.sin),
      input(inputs.q_norm),
      input(inputs.k_norm),
      inputs.positions.empty() ? Operand::Absent() : Operand::Input(DType::kI32, inputs.positions)};
}

}  // namespace sinter::kernels::gqa_testing
