// Makers of attention and rotary embeddings.
#include <algorithm>

#include "graphs/builder.h"

namespace sinter::graphs {
namespace {

using Kind = Fill::Kind;
constexpr Fill kMild = {Kind::kMild};

// The rotation's number of rows, cosines and sines: tables of [rows, half] each.
struct Tables {
  Value *cos, *sin;
};
Tables RotaryTables(Builder& b, DType dtype, const Shape& shape) {
  return {b.Operand(dtype, shape, kMild), b.Operand(dtype, shape, kMild)};
}

// Makes either RotaryEmbedding operator; their inputs have another order.
void Rotary(Builder& b, bool onnx) {
  const DType dtype = b.Float();
  const int64_t batch = b.Int(1, 2), sequence = b.Pick({1, 2, 3, 5}), heads = b.Int(1, 3);
  const int64_t head_size = b.Pick({4, 8, 16});
  const bool by_head = b.Chance(0.4);
  int64_t half = head_size / 2;
  Attributes attributes;
  if (b.Chance(0.5)) attributes["interleaved"] = b.Int(0, 1);
  if (!by_head && (onnx || b.Chance(0.6))) attributes["num_heads"] = heads;
  if (attributes.contains("num_heads") && head_size > 4 && b.Chance(0.4)) {
    half /= 2;
    attributes["rotary_embedding_dim"] = 2 * half;
  }
  Value* x = b.Operand(dtype, by_head ? Shape{batch, heads, sequence, head_size}
                                      : Shape{batch, sequence, heads * head_size});
  const int64_t rows = sequence + b.Int(0, 4);
  if (onnx) {
    const bool positions = b.Chance(0.6);
    const Tables tables =
        RotaryTables(b, dtype, positions ? Shape{rows, half} : Shape{batch, sequence, half});
    std::vector<Value*> inputs = {x, tables.cos, tables.sin};
    if (positions)
      inputs.push_back(b.Operand(DType::kI64, {batch, sequence}, {Kind::kIndices, 0, rows}));
    b.Add1("", "RotaryEmbedding", inputs, attributes);
    return;
  }
  const Tables tables = RotaryTables(b, dtype, {rows, half});
  Value* positions = b.Chance(0.4)
                         ? b.Operand(DType::kI64, {1}, {Kind::kIndices, 0, rows - sequence + 1})
                         : b.Operand(DType::kI64, {batch, sequence}, {Kind::kIndices, 0, rows});
  b.Add1("com.microsoft", "RotaryEmbedding", {x, positions, tables.cos, tables.sin}, attributes);
}

void GroupQueryAttention(Builder& b) {
  const DType dtype = b.Float();
  const int64_t kv_heads = b.Int(1, 2), heads = kv_heads * b.Pick({1, 2, 3});
  const int64_t head_size = b.Pick({8, 8, 16, 32, 4});
  const int64_t sequence = b.Pick({1, 1, 2, 3, 9});
  // A run of several rows behind a past is defined for one sequence only.
  const int64_t past = b.Chance(0.3) ? 0 : b.Int(1, 12);
  const int64_t batch = sequence > 1 && past > 0 ? 1 : b.Int(1, 2);
  const int64_t total = past + sequence, capacity = total + b.Pick({0, 1, 5});
  const bool packed = b.Chance(0.4);
  const int64_t row = (packed ? heads + 2 * kv_heads : heads) * head_size;
  std::vector<Value*> inputs(16, nullptr);
  inputs[0] = b.Operand(dtype, {batch, sequence, row}, kMild);
  if (!packed) {
    inputs[1] = b.Operand(dtype, {batch, sequence, kv_heads * head_size}, kMild);
    inputs[2] = b.Operand(dtype, {batch, sequence, kv_heads * head_size}, kMild);
  }
  inputs[3] = b.Cache(dtype, {batch, kv_heads, capacity, head_size});
  inputs[4] = b.Cache(dtype, {batch, kv_heads, capacity, head_size});
  // Sequences of one new row may have different lengths.
  const int64_t least = sequence == 1 && b.Chance(0.4) ? std::max<int64_t>(1, total - 2) : total;
  const Fill last = {Kind::kIndices, least - 1, total};
  inputs[5] =
      b.Chance(0.5) ? b.Input(DType::kI32, {batch}, last) : b.Constant(DType::kI32, {batch}, last);
  inputs[6] = b.Chance(0.5) ? b.Input(DType::kI32, {1}, {Kind::kConstant, total})
                            : b.Constant(DType::kI32, {1}, {Kind::kConstant, total});
  Attributes attributes = {{"num_heads", heads}, {"kv_num_heads", kv_heads}};
  if (b.Chance(0.6)) {
    attributes["do_rotary"] = int64_t{1};
    if (b.Chance(0.4)) attributes["rotary_interleaved"] = b.Int(0, 1);
    const int64_t half = head_size / (b.Chance(0.3) && head_size >= 16 ? 4 : 2);
    const Tables tables = RotaryTables(b, dtype, {capacity, half});
    inputs[7] = tables.cos;
    inputs[8] = tables.sin;
    if (b.Chance(0.3)) {
      inputs[9] = b.Operand(DType::kI64, {batch, sequence}, {Kind::kIndices, 0, capacity});
    }
  }
  if (b.Chance(0.2)) {
    inputs[10] = b.Operand(
        dtype, {b.Chance(0.5) ? 1 : batch, b.Chance(0.5) ? 1 : heads, sequence, total}, kMild);
  }
  if (b.Chance(0.2)) inputs[11] = b.Operand(dtype, {heads}, kMild);
  if (b.Chance(0.2)) {
    inputs[14] = b.Operand(dtype, {head_size}, kMild);
    inputs[15] = b.Operand(dtype, {head_size}, kMild);
  }
  if (b.Chance(0.3)) attributes["scale"] = 0.25f;
  if (b.Chance(0.2)) attributes["softcap"] = 1.5f;
  if (b.Chance(0.3)) attributes["local_window_size"] = b.Int(1, 6);
  if (inputs[11] == nullptr && b.Chance(0.1)) attributes["smooth_softmax"] = int64_t{1};
  while (inputs.back() == nullptr) inputs.pop_back();
  const auto outputs =
      b.Add("com.microsoft", "GroupQueryAttention", inputs, attributes, {true, true, true});
  b.InPlace(outputs[1], inputs[3], least);
  b.InPlace(outputs[2], inputs[4], least);
}

void MultiHeadAttention(Builder& b) {
  const DType dtype = b.Float();
  const int64_t batch = b.Int(1, 2), heads = b.Int(1, 3), size = b.Pick({4, 8, 8, 16, 3});
  const int64_t sequence = b.Pick({1, 2, 5, 9}), keys = b.Chance(0.5) ? sequence : b.Int(1, 9);
  const int64_t hidden = heads * size;
  const bool by_head = b.Chance(0.2);
  const int64_t past = !by_head && b.Chance(0.4) ? b.Int(1, 6) : 0, total = past + keys;
  std::vector<Value*> inputs(8, nullptr);
  const Shape rows = by_head ? Shape{batch, heads, keys, size} : Shape{batch, keys, hidden};
  inputs[0] = b.Operand(dtype, {batch, sequence, hidden}, kMild);
  inputs[1] = b.Operand(dtype, rows, kMild);
  inputs[2] = b.Operand(dtype, rows, kMild);
  if (!by_head && b.Chance(0.3)) inputs[3] = b.Operand(dtype, {3 * hidden}, kMild);
  const double mask = b.Uniform();
  if (mask < 0.2 && past == 0) {
    inputs[4] = b.Operand(DType::kI32, {batch}, {Kind::kIndices, 1, keys + 1});
  } else if (mask < 0.4) {
    inputs[4] = b.Operand(DType::kI32, {batch, total}, {Kind::kIndices, 0, 2});
  } else if (mask < 0.6) {
    inputs[5] = b.Operand(
        dtype, {b.Chance(0.5) ? 1 : batch, b.Chance(0.5) ? 1 : heads, sequence, total}, kMild);
  }
  if (past > 0) {
    inputs[6] = b.Operand(dtype, {batch, heads, past, size}, kMild);
    inputs[7] = b.Operand(dtype, {batch, heads, past, size}, kMild);
  }
  Attributes attributes = {{"num_heads", heads}};
  if (b.Chance(0.3)) attributes["scale"] = 0.25f;
  // With more keys than rows it is not defined which keys the rows see.
  if ((keys <= sequence || sequence == 1) && b.Chance(0.4))
    attributes["unidirectional"] = int64_t{1};
  while (inputs.back() == nullptr) inputs.pop_back();
  const bool present = past > 0 || b.Chance(0.3);
  b.Add("com.microsoft", "MultiHeadAttention", inputs, attributes, {true, present, present});
}

void Attention(Builder& b) {
  const DType dtype = b.Float();
  const int64_t batch = b.Int(1, 2), kv_heads = b.Int(1, 2), heads = kv_heads * b.Int(1, 2);
  const int64_t size = b.Pick({4, 8, 8, 16, 3}), sequence = b.Pick({1, 2, 5, 9});
  const int64_t keys = b.Chance(0.5) ? sequence : b.Int(1, 9);
  const int64_t past = b.Chance(0.3) ? b.Int(1, 6) : 0, total = past + keys;
  const bool by_head = b.Chance(0.5);
  const auto rows = [&](int64_t of, int64_t count) {
    return by_head ? Shape{batch, of, count, size} : Shape{batch, count, of * size};
  };
  std::vector<Value*> inputs(7, nullptr);
  inputs[0] = b.Operand(dtype, rows(heads, sequence), kMild);
  inputs[1] = b.Operand(dtype, rows(kv_heads, keys), kMild);
  inputs[2] = b.Operand(dtype, rows(kv_heads, keys), kMild);
  if (b.Chance(0.5)) {
    const DType mask = b.Chance(0.5) ? DType::kBool : dtype;
    Shape shape = {sequence, total};
    if (b.Chance(0.5)) shape.insert(shape.begin(), b.Chance(0.5) ? 1 : heads);
    if (shape.size() == 3 && b.Chance(0.5)) shape.insert(shape.begin(), b.Chance(0.5) ? 1 : batch);
    inputs[3] = b.Operand(mask, shape, kMild);
  }
  if (past > 0) {
    inputs[4] = b.Operand(dtype, {batch, kv_heads, past, size}, kMild);
    inputs[5] = b.Operand(dtype, {batch, kv_heads, past, size}, kMild);
  } else if (b.opset() >= 24 && b.Chance(0.3)) {
    inputs[6] = b.Operand(DType::kI64, {batch}, {Kind::kIndices, 1, keys + 1});
  }
  Attributes attributes;
  if (!by_head) attributes = {{"q_num_heads", heads}, {"kv_num_heads", kv_heads}};
  if (b.Chance(0.3)) attributes["scale"] = 0.25f;
  if (b.Chance(0.2)) attributes["softcap"] = 1.5f;
  if (b.Chance(0.4)) attributes["is_causal"] = int64_t{1};
  while (inputs.back() == nullptr) inputs.pop_back();
  const bool present = past > 0;
  b.Add("", "Attention", inputs, attributes, {true, present, present});
}

}  // namespace

std::vector<Maker> AttentionMakers() {
  return {
      {"com.microsoft", "RotaryEmbedding", [](Builder& b) { Rotary(b, false); }},
      {"", "RotaryEmbedding", [](Builder& b) { Rotary(b, true); }, 1.5},
      {"com.microsoft", "GroupQueryAttention", GroupQueryAttention, 2},
      {"com.microsoft", "MultiHeadAttention", MultiHeadAttention, 1.5},
      {"", "Attention", Attention, 2},
  };
}

}  // namespace sinter::graphs
