// Makers of products with plain and quantized weights, and mixtures of experts.
#include <algorithm>

#include "graphs/builder.h"
#include "graphs/quantized.h"

namespace sinter::graphs {
namespace {

using Kind = Fill::Kind;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

void MatMul(Builder& b) {
  Value* x = b.Base({DType::kF32, DType::kF32, DType::kF16}, 1);
  const Shape from = b.shape(x);
  const int64_t k = from.back(), n = b.Pick({1, 2, 3, 4, 5, 8, 16, 40});
  Shape shape = {k, n};
  if (b.Chance(0.1)) {
    shape = {k};
  } else if (from.size() > 2 && b.Chance(0.4)) {
    Shape batch = b.Partner(Shape(from.begin(), from.end() - 2));
    shape.insert(shape.begin(), batch.begin(), batch.end());
  } else if (from.size() <= 2 && b.Chance(0.15)) {
    shape.insert(shape.begin(), b.Int(1, 3));
  }
  b.Add1("", "MatMul", {x, b.Operand(b.dtype(x), shape)});
}

void MatMulNBits(Builder& b) {
  const Quantized form = RandomForm(b);
  Value* x = QuantizedInput(b, b.Float(), form.k);
  AddProduct(b, x, form, b.Pick({1, 2, 3, 5, 8, 16, 40}), b.Chance(0.4));
}

void GatherBlockQuantized(Builder& b) {
  const DType dtype = b.Float();
  const DType data_type = b.Pick({DType::kU8, DType::kU8, DType::kU4, DType::kI4});
  const int64_t bits = data_type == DType::kU8 && b.Chance(0.4) ? 8 : 4;
  const int64_t block = b.Pick({16, 32});
  // A last block that is cut short ends in a whole byte.
  const int64_t columns = b.Pick({16, 32, 48, 64, 24}), rows = b.Int(1, 6);
  const int64_t blocks = CeilDiv(columns, block);
  const bool bytes = data_type == DType::kU8;
  Value* indices = b.Operand(b.Integer(), b.RandomShape(0, 2), {Kind::kIndices, 0, rows});
  std::vector<Value*> inputs = {b.Codes(data_type, {rows, bytes ? columns * bits / 8 : columns}),
                                indices, b.Constant(dtype, {rows, blocks}, {Kind::kScale})};
  if (b.Chance(0.5))
    inputs.push_back(b.Codes(data_type, {rows, bytes ? CeilDiv(blocks * bits, 8) : blocks}));
  Attributes attributes = {{"block_size", block}};
  if (bits != 4 || b.Chance(0.5)) attributes["bits"] = bits;
  if (b.Chance(0.5)) {
    attributes["gather_axis"] = int64_t{0};
    attributes["quantize_axis"] = int64_t{1};
  }
  b.Add1("com.microsoft", "GatherBlockQuantized", inputs, attributes);
}

void QMoE(Builder& b) {
  const DType dtype = b.Float();
  const int64_t hidden = b.Pick({32, 64});
  const Shape shape =
      b.Chance(0.5) ? Shape{b.Pick({1, 2, 5, 9}), hidden} : Shape{1, b.Pick({1, 3}), hidden};
  Value* x = b.Operand(dtype, shape);
  const int64_t experts = b.Int(1, 4);
  AddExperts(b, x, b.Operand(dtype, {graph::NumElements(shape) / hidden, experts}), experts);
}

}  // namespace

Quantized RandomForm(Builder& b) {
  Quantized form;
  form.bits = b.Pick({4, 4, 4, 8, 2});
  form.block = b.Pick({16, 32, 32});
  form.k = b.Pick({32, 64, 16, 40});
  form.zero_points = b.Pick({0, 0, 1, 2});
  return form;
}

Value* QuantizedInput(Builder& b, DType dtype, int64_t k) {
  Shape shape = b.RandomShape(1, 2);
  if (b.Chance(0.3)) shape = {1, 1};
  if (b.Chance(0.1)) shape = {20};
  shape.push_back(k);
  return b.Operand(dtype, shape);
}

Value* AddProduct(Builder& b, Value* x, const Quantized& form, int64_t n, bool bias) {
  const DType dtype = b.dtype(x);
  const int64_t blocks = CeilDiv(form.k, form.block);
  std::vector<Value*> inputs = {x, b.Codes(DType::kU8, {n, blocks, form.block * form.bits / 8}),
                                b.Constant(dtype, {n, blocks}, {Kind::kScale})};
  if (form.zero_points == 1) {
    inputs.push_back(b.Codes(DType::kU8, {n, CeilDiv(blocks * form.bits, 8)}));
  } else if (form.zero_points == 2) {
    inputs.push_back(b.Constant(dtype, {n, blocks}, {Kind::kPositive}));
  }
  if (bias) {
    inputs.resize(5, nullptr);
    inputs.push_back(b.Constant(dtype, {n}, {Kind::kMild}));
  }
  return b.Add1("com.microsoft", "MatMulNBits", inputs,
                {{"K", form.k}, {"N", n}, {"bits", form.bits}, {"block_size", form.block}});
}

Value* AddExperts(Builder& b, Value* x, Value* router, int64_t experts) {
  const DType dtype = b.dtype(x);
  const int64_t hidden = b.shape(x).back(), inner = b.Pick({16, 32});
  const int64_t bits = b.Pick({4, 4, 8}), block = b.Pick({0, 16, 32});
  const std::string activation =
      b.Pick<const char*>({"swiglu", "swiglu", "silu", "gelu", "relu", "identity"});
  const bool gated = activation == "swiglu", bias = b.Chance(0.5);
  const bool zero_points = block > 0 && b.Chance(0.4);
  Attributes attributes = {{"k", b.Int(1, experts)},
                           {"activation_type", activation},
                           {"expert_weight_bits", bits},
                           {"normalize_routing_weights", b.Int(0, 1)}};
  if (block > 0) attributes["block_size"] = block;
  if (gated) {
    attributes["swiglu_fusion"] = b.Int(1, 2);
    if (b.Chance(0.6)) {
      attributes["activation_alpha"] = 1.702f;
      attributes["activation_beta"] = 1.0f;
      attributes["swiglu_limit"] = 7.0f;
    }
  }
  std::vector<Value*> inputs = {x, router};
  inputs.resize(zero_points ? 13 : bias ? 8 : 7, nullptr);
  const auto layer = [&](size_t weight, size_t points, int64_t rows, int64_t columns) {
    const int64_t blocks = block > 0 ? CeilDiv(columns, block) : 1;
    inputs[weight] = b.Codes(DType::kU8, {experts, rows, columns * bits / 8});
    inputs[weight + 1] = b.Constant(
        dtype, block > 0 ? Shape{experts, rows, blocks} : Shape{experts, rows}, {Kind::kScale});
    if (bias) inputs[weight + 2] = b.Constant(dtype, {experts, rows}, {Kind::kMild});
    if (zero_points)
      inputs[points] = b.Codes(DType::kU8, {experts, rows, CeilDiv(blocks * bits, 8)});
  };
  layer(2, 11, gated ? 2 * inner : inner, hidden);
  layer(5, 12, hidden, inner);
  return b.Add1("com.microsoft", "QMoE", inputs, attributes);
}

std::vector<Maker> ProductMakers() {
  return {
      {"", "MatMul", MatMul, 2.5},
      {"com.microsoft", "MatMulNBits", MatMulNBits, 2.5},
      {"com.microsoft", "GatherBlockQuantized", GatherBlockQuantized},
      {"com.microsoft", "QMoE", QMoE},
  };
}

}  // namespace sinter::graphs
