#include "graph/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "graph/inference.h"
#include "graph/shape_math.h"

namespace sinter::graph {
namespace {

// Iterates over a shape in row-major order and keeps one offset (in elements) for each set of
// strides.
class Odometer {
 public:
  Odometer(const Shape& shape, std::vector<Shape> strides)
      : shape_(shape),
        strides_(std::move(strides)),
        index_(shape.size(), 0),
        offsets_(strides_.size(), 0) {}

  int64_t offset(size_t set) const { return offsets_[set]; }
  void Next() {
    for (size_t d = shape_.size(); d-- > 0;) {
      const bool wraps = ++index_[d] == shape_[d];
      for (size_t s = 0; s < strides_.size(); ++s) {
        offsets_[s] += wraps ? -strides_[s][d] * (shape_[d] - 1) : strides_[s][d];
      }
      if (!wraps) return;
      index_[d] = 0;
    }
  }

 private:
  const Shape& shape_;
  std::vector<Shape> strides_;
  Shape index_;
  std::vector<int64_t> offsets_;
};

Shape RowMajorStrides(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

// Returns the strides that broadcast `shape` to `out`: 0 along each repeated dimension.
Shape BroadcastStrides(const Shape& shape, const Shape& out) {
  const Shape own = RowMajorStrides(shape);
  Shape strides(out.size(), 0);
  const size_t added = out.size() - shape.size();
  for (size_t d = 0; d < shape.size(); ++d) strides[added + d] = shape[d] == 1 ? 0 : own[d];
  return strides;
}

// Arguments of one evaluation: the node, its inputs, the output types from inference, and the bound
// on a result's bytes.
struct Call {
  const Node& node;
  std::span<const TensorType> inputs;
  std::vector<TensorType> types;
  int64_t max_bytes;

  const Tensor& in(size_t i) const { return *inputs[i].constant; }
  bool has(size_t i) const { return i < inputs.size() && inputs[i].constant != nullptr; }
  std::optional<std::vector<int64_t>> OptionalInts(size_t i) const {
    if (!has(i)) return std::nullopt;
    return in(i).ToInts();
  }
  const Shape& out_shape(size_t i = 0) const { return types[i].shape; }
  int64_t out_elems(size_t i = 0) const { return NumElements(types[i].shape); }
  bool TooBig(size_t i = 0) const {
    return out_elems(i) > max_bytes ||
           static_cast<int64_t>(DTypeBytes(types[i].dtype, out_elems(i))) > max_bytes;
  }
};

using Result = std::optional<std::vector<Tensor>>;

Result One(Tensor tensor) {
  std::vector<Tensor> out;
  out.push_back(std::move(tensor));
  return out;
}

Tensor Own(DType dtype, const Shape& shape, std::vector<std::byte> bytes) {
  auto storage = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  return Tensor{dtype, shape, *storage, storage};
}

Tensor View(const Tensor& from, const Shape& shape) {
  return Tensor{from.dtype, shape, from.bytes, from.owner};
}

// Returns out[i] = from[offset + i . strides] as a view of `from`, or as a copy of at most
// `max_bytes`. Returns nullopt if neither is possible.
std::optional<Tensor> Strided(const Tensor& from, const Shape& shape, int64_t offset,
                              const Shape& strides, int64_t max_bytes) {
  const int64_t elems = NumElements(shape);
  const int bits = DTypeBits(from.dtype);
  const Shape dense = RowMajorStrides(shape);
  bool is_dense = true;
  for (size_t d = 0; d < shape.size(); ++d) is_dense &= shape[d] == 1 || strides[d] == dense[d];
  if (elems == 0) return Tensor{from.dtype, shape, {}, nullptr};
  if (is_dense && offset * bits % 8 == 0) {
    return Tensor{from.dtype, shape,
                  from.bytes.subspan(offset * bits / 8, DTypeBytes(from.dtype, elems)), from.owner};
  }
  if (bits < 8 || elems > max_bytes || elems * (bits / 8) > max_bytes) return std::nullopt;
  const size_t size = bits / 8;
  std::vector<std::byte> bytes(elems * size);
  Odometer at(shape, {strides});
  for (int64_t i = 0; i < elems; ++i, at.Next()) {
    std::memcpy(bytes.data() + i * size, from.bytes.data() + (offset + at.offset(0)) * size, size);
  }
  return Own(from.dtype, shape, std::move(bytes));
}

Result OneStrided(const Call& call, int64_t offset, const Shape& strides) {
  std::optional<Tensor> out =
      Strided(call.in(0), call.out_shape(), offset, strides, call.max_bytes);
  if (!out) return std::nullopt;
  return One(std::move(*out));
}

template <typename T>
std::vector<T> Elements(const Tensor& tensor) {
  if constexpr (std::is_same_v<T, double>) {
    return tensor.ToDoubles();
  } else {
    return tensor.ToInts();
  }
}

template <typename T>
Tensor FromElements(DType dtype, const Shape& shape, const std::vector<T>& values) {
  if constexpr (std::is_same_v<T, double>) {
    return Tensor::FromDoubles(dtype, shape, values);
  } else {
    return Tensor::FromInts(dtype, shape, values);
  }
}

// Applies `operation`; integers wrap. Unsigned arithmetic avoids the undefined overflow of signed
// numbers and gives the same bits.
template <typename T>
T Wrap(T a, T b, auto operation) {
  if constexpr (std::is_same_v<T, double>) {
    return operation(a, b);
  } else {
    return static_cast<T>(operation(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  }
}

template <typename T>
T Divide(const Node& node, T a, T b) {
  if constexpr (std::is_same_v<T, double>) {
    return a / b;
  } else {
    if (b == 0) throw Error("graph", "{}: divides {} by zero", node.Describe(), a);
    return b == -1 ? Wrap<T>(0, a, std::minus<>()) : a / b;
  }
}

template <typename T>
T Pick(T a, T b, bool max) {
  if constexpr (std::is_same_v<T, double>) {
    if (std::isnan(a) || std::isnan(b)) return a + b;
  }
  return max ? std::max(a, b) : std::min(a, b);
}

// Applies `operation` to the broadcast elements of `left` and `right`. T is double for floats and
// int64_t for integers.
template <typename T, typename F>
Tensor Binary(const Call& call, const Tensor& left, const Tensor& right, DType dtype, F operation) {
  Shape shape;
  SINTER_CHECK(Broadcast(left.shape, right.shape, &shape));
  const std::vector<T> a = Elements<T>(left), b = Elements<T>(right);
  const int64_t elems = NumElements(shape);
  std::vector<T> out(elems);
  Odometer at(shape, {BroadcastStrides(left.shape, shape), BroadcastStrides(right.shape, shape)});
  for (int64_t i = 0; i < elems; ++i, at.Next())
    out[i] = operation(call.node, a[at.offset(0)], b[at.offset(1)]);
  return FromElements<T>(dtype, shape, out);
}

template <typename T>
Tensor BinaryByName(const Call& call, const Tensor& left, const Tensor& right) {
  const std::string& op = call.node.op();
  const DType dtype = call.types[0].dtype;
  const auto run = [&](auto operation) { return Binary<T>(call, left, right, dtype, operation); };
  if (op == "Add") return run([](const Node&, T a, T b) { return Wrap<T>(a, b, std::plus<>()); });
  if (op == "Sub") return run([](const Node&, T a, T b) { return Wrap<T>(a, b, std::minus<>()); });
  if (op == "Mul")
    return run([](const Node&, T a, T b) { return Wrap<T>(a, b, std::multiplies<>()); });
  if (op == "Div") return run([](const Node& node, T a, T b) { return Divide<T>(node, a, b); });
  if (op == "Min") return run([](const Node&, T a, T b) { return Pick<T>(a, b, false); });
  if (op == "Max") return run([](const Node&, T a, T b) { return Pick<T>(a, b, true); });
  if (op == "Equal") return run([](const Node&, T a, T b) { return T(a == b); });
  if (op == "Greater") return run([](const Node&, T a, T b) { return T(a > b); });
  if (op == "GreaterOrEqual") return run([](const Node&, T a, T b) { return T(a >= b); });
  if (op == "Less") return run([](const Node&, T a, T b) { return T(a < b); });
  if (op == "LessOrEqual") return run([](const Node&, T a, T b) { return T(a <= b); });
  if (op == "And") return run([](const Node&, T a, T b) { return T(a != 0 && b != 0); });
  SINTER_CHECK(op == "Or", "{}", op);
  return run([](const Node&, T a, T b) { return T(a != 0 || b != 0); });
}

Result EvaluateBinary(const Call& call) {
  if (call.TooBig()) return std::nullopt;
  Tensor out = call.in(0);
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    out = IsFloat(call.in(0).dtype) ? BinaryByName<double>(call, out, call.in(i))
                                    : BinaryByName<int64_t>(call, out, call.in(i));
  }
  return One(std::move(out));
}

Result EvaluateNeg(const Call& call) {
  if (call.TooBig()) return std::nullopt;
  if (IsFloat(call.in(0).dtype)) {
    std::vector<double> values = call.in(0).ToDoubles();
    for (double& value : values) value = -value;
    return One(Tensor::FromDoubles(call.in(0).dtype, call.out_shape(), values));
  }
  std::vector<int64_t> values = call.in(0).ToInts();
  for (int64_t& value : values) value = Wrap<int64_t>(0, value, std::minus<>());
  return One(Tensor::FromInts(call.in(0).dtype, call.out_shape(), values));
}

Result EvaluateNot(const Call& call) {
  if (call.TooBig()) return std::nullopt;
  std::vector<int64_t> values = call.in(0).ToInts();
  for (int64_t& value : values) value = value == 0;
  return One(Tensor::FromInts(DType::kBool, call.out_shape(), values));
}

Result EvaluateCast(const Call& call) {
  const Tensor& from = call.in(0);
  const DType to = call.types[0].dtype;
  if (from.dtype == to) return One(from);
  if (call.TooBig()) return std::nullopt;
  return One(IsFloat(from.dtype) ? Tensor::FromDoubles(to, from.shape, from.ToDoubles())
                                 : Tensor::FromInts(to, from.shape, from.ToInts()));
}

template <typename T>
Tensor Select(const Call& call) {
  const Shape& shape = call.out_shape();
  const std::vector<int64_t> condition = call.in(0).ToInts();
  const std::vector<T> a = Elements<T>(call.in(1)), b = Elements<T>(call.in(2));
  std::vector<T> out(NumElements(shape));
  Odometer at(shape,
              {BroadcastStrides(call.in(0).shape, shape), BroadcastStrides(call.in(1).shape, shape),
               BroadcastStrides(call.in(2).shape, shape)});
  for (T& value : out) {
    value = condition[at.offset(0)] != 0 ? a[at.offset(1)] : b[at.offset(2)];
    at.Next();
  }
  return FromElements<T>(call.types[0].dtype, shape, out);
}

Result EvaluateWhere(const Call& call) {
  if (call.TooBig()) return std::nullopt;
  return One(IsFloat(call.in(1).dtype) ? Select<double>(call) : Select<int64_t>(call));
}

template <typename T>
Tensor Reduce(const Call& call) {
  const Shape& shape = call.in(0).shape;
  const std::string& op = call.node.op();
  std::vector<int64_t> axes = call.node.Ints("axes", {});
  if (call.has(1)) axes = call.in(1).ToInts();
  std::vector<bool> reduced(shape.size(),
                            axes.empty() && call.node.Int("noop_with_empty_axes", 0) == 0);
  for (const int64_t axis : axes)
    reduced[NormalizeAxis(call.node, axis, static_cast<int64_t>(shape.size()))] = true;
  // Strides that map an input element to its output element: 0 along reduced dimensions.
  Shape kept;
  for (size_t d = 0; d < shape.size(); ++d) kept.push_back(reduced[d] ? 1 : shape[d]);
  const Shape strides = BroadcastStrides(kept, shape);
  const std::vector<T> values = Elements<T>(call.in(0));
  // Without elements the maximum is the smallest number, and the mean 0 as in ONNX Runtime.
  const T smallest = std::is_same_v<T, double>         ? -std::numeric_limits<T>::infinity()
                     : call.in(0).dtype == DType::kI32 ? std::numeric_limits<int32_t>::min()
                                                       : std::numeric_limits<T>::min();
  const bool max = op == "ReduceMax";
  std::vector<T> out(call.out_elems(), max ? smallest : T(0));
  Odometer at(shape, {strides});
  for (size_t i = 0; i < values.size(); ++i, at.Next()) {
    T& to = out[at.offset(0)];
    to = max ? Pick<T>(to, values[i], true) : Wrap<T>(to, values[i], std::plus<>());
  }
  if (op == "ReduceMean") {
    const auto count =
        static_cast<T>(out.empty() ? 1 : std::max<size_t>(values.size() / out.size(), 1));
    for (T& value : out) value = value / count;
  }
  return FromElements<T>(call.in(0).dtype, call.out_shape(), out);
}

Result EvaluateReduce(const Call& call) {
  if (call.TooBig() || static_cast<int64_t>(call.in(0).bytes.size()) > call.max_bytes)
    return std::nullopt;
  return One(IsFloat(call.in(0).dtype) ? Reduce<double>(call) : Reduce<int64_t>(call));
}

Result EvaluateShapeOf(const Call& call) {
  const Shape& shape = call.inputs[0].shape;
  const auto rank = static_cast<int64_t>(shape.size());
  const auto clamp = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = clamp(call.node.Int("start", 0));
  const Shape dims(shape.begin() + start, shape.begin() + start + call.out_elems());
  return One(Tensor::FromInts(DType::kI64, call.out_shape(), dims));
}

// Evaluates Reshape, Unsqueeze, Squeeze, Flatten and Identity, which keep the elements and their
// order.
Result EvaluateView(const Call& call) { return One(View(call.in(0), call.out_shape())); }

Result EvaluateTranspose(const Call& call) {
  const Shape from = RowMajorStrides(call.in(0).shape);
  std::vector<int64_t> perm(from.size());
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(perm.size() - 1 - i);
  Shape strides;
  for (const int64_t axis : call.node.Ints("perm", perm)) {
    strides.push_back(from[NormalizeAxis(call.node, axis, static_cast<int64_t>(from.size()))]);
  }
  return OneStrided(call, 0, strides);
}

Result EvaluateExpand(const Call& call) {
  return OneStrided(call, 0, BroadcastStrides(call.in(0).shape, call.out_shape()));
}

Result EvaluateSlice(const Call& call) {
  const Tensor& from = call.in(0);
  Shape strides = RowMajorStrides(from.shape);
  int64_t offset = 0;
  const std::vector<SliceRange> ranges =
      SliceRanges(call.node, from.shape, call.in(1).ToInts(), call.in(2).ToInts(),
                  call.OptionalInts(3), call.OptionalInts(4));
  for (size_t d = 0; d < ranges.size(); ++d) {
    offset += ranges[d].start * strides[d];
    // A step larger than the dimension takes one element; strides[d] * step could then overflow.
    strides[d] = ranges[d].count > 1 ? strides[d] * ranges[d].step : 0;
  }
  return OneStrided(call, offset, strides);
}

Result EvaluateSplit(const Call& call) {
  const Tensor& from = call.in(0);
  const int64_t axis =
      NormalizeAxis(call.node, call.node.Int("axis", 0), static_cast<int64_t>(from.shape.size()));
  const Shape strides = RowMajorStrides(from.shape);
  std::vector<Tensor> out;
  int64_t start = 0;
  for (const int64_t size :
       SplitSizes(call.node, from.shape[axis], call.types.size(), call.OptionalInts(1))) {
    Shape shape = from.shape;
    shape[axis] = size;
    std::optional<Tensor> part =
        Strided(from, shape, start * strides[axis], strides, call.max_bytes);
    if (!part) return std::nullopt;
    out.push_back(std::move(*part));
    start += size;
  }
  return out;
}

Result EvaluateConcat(const Call& call) {
  const Shape& shape = call.out_shape();
  const int bits = DTypeBits(call.types[0].dtype);
  if (call.TooBig() || bits < 8) return std::nullopt;
  const int64_t axis =
      NormalizeAxis(call.node, call.node.Int("axis", 0), static_cast<int64_t>(shape.size()));
  if (call.out_elems() == 0) return One(Own(call.types[0].dtype, shape, {}));
  const int64_t rows = NumElements(Shape(shape.begin(), shape.begin() + axis));
  std::vector<std::byte> bytes;
  for (int64_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      const size_t size = NumElements(call.in(i).shape) / rows * (bits / 8);
      const auto part = call.in(i).bytes.subspan(row * size, size);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
  }
  return One(Own(call.types[0].dtype, shape, std::move(bytes)));
}

Result EvaluateGather(const Call& call) {
  const Tensor& data = call.in(0);
  const int bits = DTypeBits(data.dtype);
  if (call.TooBig() || bits < 8) return std::nullopt;
  const int64_t axis =
      NormalizeAxis(call.node, call.node.Int("axis", 0), static_cast<int64_t>(data.shape.size()));
  const int64_t size = data.shape[axis];
  const int64_t outer = NumElements(Shape(data.shape.begin(), data.shape.begin() + axis));
  const size_t inner =
      NumElements(Shape(data.shape.begin() + axis + 1, data.shape.end())) * (bits / 8);
  std::vector<std::byte> bytes;
  const std::vector<int64_t> indices = call.in(1).ToInts();
  for (const int64_t index : indices) {
    if (index < -size || index >= size) {
      throw Error("graph", "{}: index: got {}, want one of {} elements", call.node.Describe(),
                  index, size);
    }
  }
  if (call.out_elems() == 0) return One(Own(data.dtype, call.out_shape(), {}));
  for (int64_t row = 0; row < outer; ++row) {
    for (const int64_t index : indices) {
      const auto part =
          data.bytes.subspan((row * size + (index < 0 ? index + size : index)) * inner, inner);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
  }
  return One(Own(data.dtype, call.out_shape(), std::move(bytes)));
}

template <typename T>
Tensor MakeRange(const Call& call) {
  const T start = Elements<T>(call.in(0))[0], delta = Elements<T>(call.in(2))[0];
  std::vector<T> values;
  for (int64_t i = 0; i < call.out_elems(); ++i) {
    values.push_back(
        Wrap<T>(start, Wrap<T>(static_cast<T>(i), delta, std::multiplies<>()), std::plus<>()));
  }
  return FromElements<T>(call.types[0].dtype, call.out_shape(), values);
}

Result EvaluateRange(const Call& call) {
  if (call.TooBig()) return std::nullopt;
  return One(IsFloat(call.types[0].dtype) ? MakeRange<double>(call) : MakeRange<int64_t>(call));
}

Result EvaluateConstant(const Call& call) {
  const Attribute& attribute = call.node.attributes.begin()->second;
  if (const auto* tensor = std::get_if<Tensor>(&attribute)) return One(*tensor);
  const TensorType& type = call.types[0];
  if (const auto* value = std::get_if<int64_t>(&attribute)) {
    return One(Tensor::FromInts(type.dtype, type.shape, {value, 1}));
  }
  if (const auto* values = std::get_if<std::vector<int64_t>>(&attribute)) {
    return One(Tensor::FromInts(type.dtype, type.shape, *values));
  }
  std::vector<double> values;
  if (const auto* value = std::get_if<float>(&attribute)) {
    values.push_back(*value);
  } else {
    const auto& floats = std::get<std::vector<float>>(attribute);
    values.assign(floats.begin(), floats.end());
  }
  return One(Tensor::FromDoubles(type.dtype, type.shape, values));
}

Result EvaluateConstantOfShape(const Call& call) {
  if (call.TooBig()) return std::nullopt;
  const TensorType& type = call.types[0];
  const Attribute* value = call.node.Find("value");
  if (value == nullptr) {
    return One(
        Tensor::FromDoubles(type.dtype, type.shape, std::vector<double>(call.out_elems(), 0)));
  }
  const Tensor& element = std::get<Tensor>(*value);
  std::optional<Tensor> out =
      Strided(element, type.shape, 0, Shape(type.shape.size(), 0), call.max_bytes);
  if (!out) return std::nullopt;
  return One(std::move(*out));
}

const std::unordered_map<std::string_view, Result (*)(const Call&)> kEvaluators = {
    {"Add", EvaluateBinary},
    {"Sub", EvaluateBinary},
    {"Mul", EvaluateBinary},
    {"Div", EvaluateBinary},
    {"Min", EvaluateBinary},
    {"Max", EvaluateBinary},
    {"Equal", EvaluateBinary},
    {"Greater", EvaluateBinary},
    {"GreaterOrEqual", EvaluateBinary},
    {"Less", EvaluateBinary},
    {"LessOrEqual", EvaluateBinary},
    {"And", EvaluateBinary},
    {"Or", EvaluateBinary},
    {"Not", EvaluateNot},
    {"Neg", EvaluateNeg},
    {"Cast", EvaluateCast},
    {"Where", EvaluateWhere},
    {"ReduceSum", EvaluateReduce},
    {"ReduceMax", EvaluateReduce},
    {"ReduceMean", EvaluateReduce},
    {"Shape", EvaluateShapeOf},
    {"Reshape", EvaluateView},
    {"Unsqueeze", EvaluateView},
    {"Squeeze", EvaluateView},
    {"Flatten", EvaluateView},
    {"Identity", EvaluateView},
    {"Transpose", EvaluateTranspose},
    {"Expand", EvaluateExpand},
    {"Slice", EvaluateSlice},
    {"Split", EvaluateSplit},
    {"Concat", EvaluateConcat},
    {"Gather", EvaluateGather},
    {"Range", EvaluateRange},
    {"Constant", EvaluateConstant},
    {"ConstantOfShape", EvaluateConstantOfShape},
};

}  // namespace

bool CanEvaluate(std::string_view domain, std::string_view op) {
  return domain.empty() && kEvaluators.contains(op);
}

std::optional<std::vector<Tensor>> Evaluate(const Node& node, std::span<const TensorType> inputs,
                                            int64_t max_bytes) {
  const auto evaluator = kEvaluators.find(node.op());
  if (evaluator == kEvaluators.end() || !node.domain().empty()) return std::nullopt;
  for (const TensorType& input : inputs) {
    if (input.dtype != DType::kUndefined && input.constant == nullptr && node.op() != "Shape")
      return std::nullopt;
  }
  const Call call{node, inputs, InferOutputs(node, inputs), max_bytes};
  return evaluator->second(call);
}

}  // namespace sinter::graph
