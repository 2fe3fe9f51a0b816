// Products with quantized weights, which several makers add. Internal to the generator.
#pragma once

#include "graphs/builder.h"

namespace sinter::graphs {

// Form of a quantized weight [n, k].
struct Quantized {
  int64_t bits = 4, block = 32, k = 32;
  int64_t zero_points = 0;  // 0: none, 1: packed, 2: floats
};

Quantized RandomForm(Builder& b);
// Returns an input [..., k] of a quantized product.
Value* QuantizedInput(Builder& b, DType dtype, int64_t k);
// Adds MatMulNBits with a random weight of `n` rows.
Value* AddProduct(Builder& b, Value* x, const Quantized& form, int64_t n, bool bias);
// Adds QMoE with random experts and attributes. x: [..., hidden], router: [tokens, experts].
Value* AddExperts(Builder& b, Value* x, Value* router, int64_t experts);

}  // namespace sinter::graphs
