// Makers of operators that move elements or compute shapes.
#include <algorithm>
#include <numeric>

#include "graphs/builder.h"

namespace sinter::graphs {
namespace {

using Kind = Fill::Kind;

Value* AnyBase(Builder& b, int64_t min_rank = 0, int64_t max_rank = 4) {
  return b.Base({b.AnyType()}, min_rank, max_rank);
}

// Returns the numbers as a constant, or as a value that is computed from the shape of another one.
Value* ShapeOperand(Builder& b, std::vector<int64_t> numbers) {
  if (numbers.empty() || b.Chance(0.7)) return b.Ints(numbers);
  // Takes the first number from the shape of an input: Shape, then Gather or Slice, then Concat.
  if (numbers[0] <= 0) return b.Ints(numbers);
  Value* like = b.Operand(DType::kF32, {numbers[0], b.Int(1, 3)}, {Kind::kMild});
  Value* shape = b.Add1("", "Shape", {like});
  Value* first = b.Chance(0.5) ? b.Add1("", "Gather", {shape, b.Ints({0})})
                               : b.Add1("", "Slice", {shape, b.Ints({0}), b.Ints({1})});
  if (numbers.size() == 1) return first;
  return b.Add1("", "Concat", {first, b.Ints({numbers.begin() + 1, numbers.end()})},
                {{"axis", int64_t{0}}});
}

void Reshape(Builder& b) {
  Value* x = AnyBase(b);
  const Shape& from = b.shape(x);
  const int64_t elems = graph::NumElements(from);
  Shape to;
  if (elems == 0) {
    to = from;
  } else {
    // Splits the elements into random factors.
    int64_t rest = elems;
    for (int64_t factor : {2, 3, 4, 5, 8}) {
      if (rest % factor == 0 && b.Chance(0.5)) {
        to.push_back(factor);
        rest /= factor;
      }
    }
    to.insert(to.begin() + b.Int(0, static_cast<int64_t>(to.size())), rest);
    if (b.Chance(0.2)) to.insert(to.begin(), 1);
    if (b.Chance(0.3)) to[static_cast<size_t>(b.Int(0, static_cast<int64_t>(to.size()) - 1))] = -1;
    if (!from.empty() && to[0] == from[0] && b.Chance(0.3)) to[0] = 0;
  }
  b.Add1("", "Reshape", {x, ShapeOperand(b, to)});
}

void Flatten(Builder& b) {
  Value* x = AnyBase(b);
  const int64_t rank = b.rank(x);
  Attributes attributes;
  if (rank == 0 || b.Chance(0.7)) attributes["axis"] = b.Int(-rank, rank);
  b.Add1("", "Flatten", {x}, attributes);
}

void Transpose(Builder& b) {
  Value* x = AnyBase(b, 1);
  std::vector<int64_t> perm(b.shape(x).size());
  std::iota(perm.begin(), perm.end(), 0);
  for (size_t i = perm.size(); i > 1; --i)
    std::swap(perm[i - 1], perm[static_cast<size_t>(b.Int(0, static_cast<int64_t>(i) - 1))]);
  Attributes attributes;
  if (b.Chance(0.8)) attributes["perm"] = perm;
  b.Add1("", "Transpose", {x}, attributes);
}

void Expand(Builder& b) {
  Value* x = AnyBase(b, 0, 3);
  b.Add1("", "Expand", {x, ShapeOperand(b, b.Partner(b.shape(x)))});
}

void Unsqueeze(Builder& b) {
  Value* x = AnyBase(b, 0, 3);
  const int64_t rank = b.rank(x) + 1, axis = b.Int(0, rank - 1);
  b.Add1("", "Unsqueeze", {x, b.Ints({b.Axis(axis, rank)})});
}

void Squeeze(Builder& b) {
  Value* x = AnyBase(b);
  std::vector<int64_t> ones;
  for (int64_t i = 0; i < b.rank(x); ++i) {
    if (b.shape(x)[static_cast<size_t>(i)] == 1 && b.Chance(0.7))
      ones.push_back(b.Axis(i, b.rank(x)));
  }
  if (b.Chance(0.2)) {
    b.Add1("", "Squeeze", {x});
  } else {
    b.Add1("", "Squeeze", {x, b.Ints(ones)});
  }
}

void Concat(Builder& b) {
  Value* x = AnyBase(b, 1);
  const int64_t axis = b.Int(0, b.rank(x) - 1);
  std::vector<Value*> inputs = {x};
  for (int64_t more = b.Int(0, 2); more > 0; --more) {
    Shape shape = b.shape(x);
    if (b.Chance(0.6)) shape[static_cast<size_t>(axis)] = b.Pick({0, 1, 2, 3, 4});
    inputs.push_back(b.Operand(b.dtype(x), shape));
  }
  b.Add1("", "Concat", inputs, {{"axis", b.Axis(axis, b.rank(x))}});
}

void Split(Builder& b) {
  Value* x = AnyBase(b, 1);
  const int64_t axis = b.Int(0, b.rank(x) - 1), size = b.shape(x)[static_cast<size_t>(axis)];
  const int64_t parts = b.Int(1, 3);
  Attributes attributes = {{"axis", b.Axis(axis, b.rank(x))}};
  std::vector<Value*> inputs = {x};
  // Without sizes, the parts are equal, or (from version 18 on) the last one is smaller.
  const bool equal = size % parts == 0 && size > 0;
  if (equal && b.Chance(0.5)) {
    if (b.opset() >= 18) attributes["num_outputs"] = parts;
  } else {
    std::vector<int64_t> sizes(static_cast<size_t>(parts), 0);
    for (int64_t i = 0; i < size; ++i) ++sizes[static_cast<size_t>(b.Int(0, parts - 1))];
    inputs.push_back(b.Ints(sizes));
  }
  b.Add("", "Split", inputs, attributes, std::vector<bool>(static_cast<size_t>(parts), true));
}

void Slice(Builder& b) {
  Value* x = AnyBase(b, 1);
  std::vector<int64_t> starts, ends, axes, steps;
  for (int64_t axis = 0; axis < b.rank(x); ++axis) {
    if (b.Chance(0.4)) continue;
    const int64_t size = b.shape(x)[static_cast<size_t>(axis)];
    const int64_t step = b.Pick({1, 1, 1, 2, 3, -1, -2});
    starts.push_back(b.Chance(0.2) ? (step > 0 ? INT64_MIN : INT64_MAX)
                                   : b.Int(-size - 1, size + 1));
    ends.push_back(b.Chance(0.3) ? (step > 0 ? INT64_MAX : INT64_MIN + 1)
                                 : b.Int(-size - 1, size + 1));
    if (starts.back() == INT64_MIN) starts.back() = 0;
    axes.push_back(b.Axis(axis, b.rank(x)));
    steps.push_back(step);
  }
  std::vector<Value*> inputs = {x, b.Ints(starts), b.Ints(ends), b.Ints(axes)};
  const bool unit = std::ranges::all_of(steps, [](int64_t step) { return step == 1; });
  if (!unit || b.Chance(0.3)) inputs.push_back(b.Ints(steps));
  b.Add1("", "Slice", inputs);
}

void Gather(Builder& b) {
  Value* x = AnyBase(b, 1);
  const int64_t axis = b.Int(0, b.rank(x) - 1), size = b.shape(x)[static_cast<size_t>(axis)];
  Shape shape = b.RandomShape(0, 2);
  // Nothing can be gathered from an empty axis.
  if (size == 0) shape = {0};
  Value* indices = b.Operand(b.Integer(), shape,
                             {Kind::kIndices, size == 0 ? 0 : -size, std::max<int64_t>(size, 1)});
  Attributes attributes;
  if (axis != 0 || b.Chance(0.5)) attributes["axis"] = b.Axis(axis, b.rank(x));
  b.Add1("", "Gather", {x, indices}, attributes);
}

// Adds arithmetic on a shape that ends in a value which other nodes may read.
void ShapeOf(Builder& b) {
  Value* x = AnyBase(b);
  Attributes attributes;
  if (b.opset() >= 15 && b.Chance(0.5)) {
    attributes["start"] = b.Int(-3, 2);
    if (b.Chance(0.5)) attributes["end"] = b.Int(-2, 4);
  }
  Value* shape = b.Add1("", "Shape", {x}, attributes);
  if (b.Chance(0.5)) b.Add1("", "Cast", {shape}, {{"to", static_cast<int64_t>(b.Number())}});
}

void Range(Builder& b) {
  const DType dtype = b.Pick({DType::kI64, DType::kI32, DType::kF32});
  const int64_t start = b.Int(-3, 3), delta = b.Pick({1, 2, -1, 3});
  const auto scalar = [&](int64_t value) {
    return b.Constant(Tensor::FromInts(dtype, {}, std::vector<int64_t>{value}));
  };
  b.Add1("", "Range", {scalar(start), scalar(start + delta * b.Int(-1, 6)), scalar(delta)});
}

void Constant(Builder& b) {
  switch (b.Int(0, 4)) {
    case 0:
      b.Add1("", "Constant", {}, {{"value_int", b.Int(-4, 4)}});
      break;
    case 1:
      b.Add1("", "Constant", {}, {{"value_float", b.Pick({0.5f, -3.25f, 7.0f})}});
      break;
    case 2:
      b.Add1("", "Constant", {}, {{"value_ints", std::vector<int64_t>{1, -2, 3}}});
      break;
    case 3:
      b.Add1("", "Constant", {}, {{"value_floats", std::vector<float>{0.5f, -1.5f}}});
      break;
    default:
      b.Add1("", "Constant", {},
             {{"value", Tensor::FromInts(b.AnyType(), {2, 1}, std::vector<int64_t>{1, 0})}});
  }
}

void ConstantOfShape(Builder& b) {
  Attributes attributes;
  if (b.Chance(0.7))
    attributes["value"] = Tensor::FromInts(b.AnyType(), {1}, std::vector<int64_t>{b.Int(0, 1)});
  b.Add1("", "ConstantOfShape", {ShapeOperand(b, b.RandomShape(0, 3))}, attributes);
}

// The condition is a constant, or compares a dimension.
void If(Builder& b) {
  Value* x = b.Base({DType::kF32, DType::kF16});
  Value* condition = nullptr;
  if (b.Chance(0.5)) {
    condition = b.Constant(Tensor::FromInts(DType::kBool, {}, std::vector<int64_t>{b.Int(0, 1)}));
  } else {
    Value* like = AnyBase(b, 1);
    Value* index = b.Constant(Tensor::FromInts(DType::kI64, {}, std::vector<int64_t>{0}));
    Value* size = b.Add1("", "Gather", {b.Add1("", "Shape", {like}), index});
    condition = b.Add1(
        "", "Greater",
        {size, b.Constant(Tensor::FromInts(DType::kI64, {}, std::vector<int64_t>{b.Int(1, 4)}))});
  }
  b.AddIf(condition, x, b.Pick({"Neg", "Relu"}), b.Pick({"Sigmoid", "Identity"}));
}

}  // namespace

std::vector<Maker> MovementMakers() {
  return {
      {"", "Identity", [](Builder& b) { b.Add1("", "Identity", {AnyBase(b)}); }, 0.4},
      {"", "Reshape", Reshape, 1.5},
      {"", "Flatten", Flatten, 0.5},
      {"", "Transpose", Transpose},
      {"", "Expand", Expand},
      {"", "Unsqueeze", Unsqueeze, 0.5},
      {"", "Squeeze", Squeeze, 0.5},
      {"", "Concat", Concat, 1.5},
      {"", "Split", Split},
      {"", "Slice", Slice, 1.5},
      {"", "Gather", Gather, 1.5},
      {"", "Shape", ShapeOf, 0.5},
      {"", "Range", Range, 0.4},
      {"", "Constant", Constant, 0.4},
      {"", "ConstantOfShape", ConstantOfShape, 0.4},
      {"", "If", If, 0.5},
  };
}

}  // namespace sinter::graphs
