// Makers of the patterns that rewrites join: parts of a decoder's layer.
#include <algorithm>

#include "graphs/builder.h"
#include "graphs/quantized.h"

namespace sinter::graphs {
namespace {

using Kind = Fill::Kind;
constexpr Fill kMild = {Kind::kMild};

Value* Norm(Builder& b, Value* x) {
  return b.Add1("", "SimplifiedLayerNormalization",
                {x, b.Constant(b.dtype(x), {b.shape(x).back()}, kMild)},
                {{"epsilon", 0.01f}, {"axis", int64_t{-1}}});
}

// Adds a layer norm or an RMS norm that is spelled out.
void SpelledNorm(Builder& b) {
  Value* x = b.Base({DType::kF32, DType::kF16}, 2, 3);
  const DType dtype = b.dtype(x);
  const int64_t columns = b.shape(x).back();
  if (columns == 0) return;
  const auto mean = [&](Value* of) {
    if (b.opset() >= 18) return b.Add1("", "ReduceMean", {of, b.Ints({-1})});
    return b.Add1("", "ReduceMean", {of}, {{"axes", std::vector<int64_t>{-1}}});
  };
  const auto number = [&](double value) {
    return b.Constant(Tensor::FromDoubles(dtype, {}, std::vector<double>{value}));
  };
  Value* t = b.Chance(0.5) ? x : b.Add1("", "Sub", {x, mean(x)});
  Value* square = b.Chance(0.5) ? b.Add1("", "Pow", {t, number(2)}) : b.Add1("", "Mul", {t, t});
  Value* root = b.Add1("", "Sqrt", {b.Add1("", "Add", {mean(square), number(0.0625)})});
  Value* y = b.Chance(0.5) ? b.Add1("", "Div", {t, root})
                           : b.Add1("", "Mul", {t, b.Add1("", "Reciprocal", {root})});
  if (b.Chance(0.8)) y = b.Add1("", "Mul", {y, b.Constant(dtype, {columns}, kMild)});
  if (b.Chance(0.5)) b.Add1("", "Add", {y, b.Constant(dtype, {columns}, kMild)});
}

struct Rows {
  Quantized form;
  Value* x;
};

// Returns rows of an activation, with which a layer begins.
Rows LayerRows(Builder& b) {
  Quantized form = RandomForm(b);
  form.k = b.Pick({32, 64});
  return {form, b.Operand(b.Float(), {1, b.Pick({1, 1, 3, 9}), form.k}, kMild)};
}

// Adds a norm, or a norm of the sum with a residual whose sum is read as well; returns the norm.
Value* NormOrSkipNorm(Builder& b, Value* x) {
  if (b.Chance(0.5)) return Norm(b, x);
  const auto outputs = b.Add("com.microsoft", "SkipSimplifiedLayerNormalization",
                             {x, b.Operand(b.dtype(x), b.shape(x), kMild),
                              b.Constant(b.dtype(x), {b.shape(x).back()}, kMild)},
                             {{"epsilon", 0.01f}}, {true, false, false, true});
  return outputs[0];
}

// Head: norm, product.
void Head(Builder& b) {
  const auto [form, x] = LayerRows(b);
  AddProduct(b, NormOrSkipNorm(b, x), form, b.Pick({3, 8, 40}), b.Chance(0.3));
}

// MLP: norm, gate and up, activation, product of both.
void Mlp(Builder& b) {
  const auto [form, x] = LayerRows(b);
  Value* h = NormOrSkipNorm(b, x);
  const int64_t n = b.Pick({8, 16, 40});
  const bool bias = b.Chance(0.3);
  Value* gate = AddProduct(b, h, form, n, bias);
  Value* up = AddProduct(b, h, form, n, bias);
  Value* active = nullptr;
  switch (b.Int(0, 3)) {
    case 0:
      active = b.Add1("com.microsoft", "QuickGelu", {gate}, {{"alpha", 1.0f}});
      break;
    case 1:
      active = b.Add1("", "Mul", {gate, b.Add1("", "Sigmoid", {gate})});
      break;
    case 2:
      active = b.Add1("com.microsoft", "Gelu", {gate});
      break;
    default:
      active = b.Add1("com.microsoft", "FastGelu", {gate});
  }
  b.Add1("", "Mul", b.Chance(0.5) ? std::vector{active, up} : std::vector{up, active});
}

// Projection and residual, with or without a norm behind it.
void Residual(Builder& b) {
  const auto [form, x] = LayerRows(b);
  Shape shape = b.shape(x);
  shape.back() = b.Pick({8, 32});
  Value* y = AddProduct(b, x, form, shape.back(), false);
  if (b.Chance(0.4)) y = b.Add1("", "Add", {y, b.Constant(b.dtype(y), {shape.back()}, kMild)});
  Value* residual = b.Operand(b.dtype(y), shape, kMild);
  if (b.Chance(0.5)) {
    b.Add1("", "Add", b.Chance(0.5) ? std::vector{y, residual} : std::vector{residual, y});
    return;
  }
  b.Add("com.microsoft", "SkipSimplifiedLayerNormalization",
        {residual, y, b.Constant(b.dtype(y), {shape.back()}, kMild)}, {{"epsilon", 0.01f}},
        {true, false, false, true});
}

// Norm, projections of queries, keys and values, norms of heads, rotation, attention.
void LayerAttention(Builder& b) {
  const auto [form, x] = LayerRows(b);
  const DType dtype = b.dtype(x);
  Value* h = NormOrSkipNorm(b, x);
  const int64_t kv_heads = b.Int(1, 2), heads = kv_heads * b.Int(1, 2), size = b.Pick({8, 16});
  const int64_t sequence = b.shape(x)[1], past = b.Int(0, 5), total = past + sequence;
  const int64_t capacity = total + b.Int(0, 3);
  const bool bias = b.Chance(0.3);
  Value* cos = b.Constant(dtype, {capacity, size / 2}, kMild);
  Value* sin = b.Constant(dtype, {capacity, size / 2}, kMild);
  const bool rotates = b.Chance(0.4), norms = b.Chance(0.4);
  std::vector<Value*> inputs(9, nullptr);
  inputs[0] = AddProduct(b, h, form, heads * size, bias);
  inputs[1] = AddProduct(b, h, form, kv_heads * size, bias);
  inputs[2] = AddProduct(b, h, form, kv_heads * size, bias);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t count = i == 0 ? heads : kv_heads;
    if (norms) {
      Value* by_head = b.Add1("", "Reshape", {inputs[i], b.Ints({1, sequence, count, size})});
      inputs[i] = b.Add1("", "Reshape", {Norm(b, by_head), b.Ints({1, sequence, count * size})});
    }
    if (rotates) {
      std::vector<int64_t> positions;
      for (int64_t s = 0; s < sequence; ++s) positions.push_back(past + s);
      Value* at = b.Constant(Tensor::FromInts(DType::kI64, {1, sequence}, positions));
      inputs[i] = b.Add1("com.microsoft", "RotaryEmbedding", {inputs[i], at, cos, sin},
                         {{"num_heads", count}});
    }
  }
  inputs[3] = b.Cache(dtype, {1, kv_heads, capacity, size});
  inputs[4] = b.Cache(dtype, {1, kv_heads, capacity, size});
  inputs[5] = b.Constant(DType::kI32, {1}, {Kind::kConstant, total - 1});
  inputs[6] = b.Constant(DType::kI32, {1}, {Kind::kConstant, total});
  Attributes attributes = {{"num_heads", heads}, {"kv_num_heads", kv_heads}};
  if (!rotates && b.Chance(0.5)) {
    attributes["do_rotary"] = int64_t{1};
    inputs[7] = cos;
    inputs[8] = sin;
  }
  while (inputs.back() == nullptr) inputs.pop_back();
  const auto outputs =
      b.Add("com.microsoft", "GroupQueryAttention", inputs, attributes, {true, true, true});
  b.InPlace(outputs[1], inputs[3], total);
  b.InPlace(outputs[2], inputs[4], total);
}

// Norm, router product, experts.
void Experts(Builder& b) {
  auto [form, x] = LayerRows(b);
  if (form.zero_points == 2) form.zero_points = 0;
  Value* h = Norm(b, x);
  const int64_t experts = b.Int(2, 4), tokens = b.shape(x)[1];
  Value* router = AddProduct(b, h, form, experts, b.Chance(0.5));
  AddExperts(b, h, b.Add1("", "Reshape", {router, b.Ints({tokens, experts})}), experts);
}

}  // namespace

std::vector<Maker> PatternMakers() {
  return {
      {"pattern", "norm", SpelledNorm},
      {"pattern", "head", Head, 0.7},
      {"pattern", "mlp", Mlp},
      {"pattern", "residual", Residual},
      {"pattern", "attention", LayerAttention},
      {"pattern", "experts", Experts, 0.5},
  };
}

}  // namespace sinter::graphs
