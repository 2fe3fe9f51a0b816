// Types and shapes of operators that move elements or compute shapes.
#include <algorithm>

#include "base/check.h"
#include "graph/inference.h"
#include "graph/shape_math.h"

namespace sinter::graph {
namespace {

using Kind = AttributeSpec::Kind;

int64_t AddDims(const Inference& in, int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) in.Fail("a dimension overflows: {} + {}", a, b);
  return sum;
}

void InferIdentity(Inference& in) { in.Out(0, in.dtype(0), in.shape(0)); }

void InferReshape(Inference& in) {
  in.Out(0, in.dtype(0),
         ReshapeTarget(in.node(), in.shape(0), in.ConstantInts(1),
                       in.node().Int("allowzero", 0) != 0));
}

void InferFlatten(Inference& in) {
  const Shape& shape = in.shape(0);
  // Unlike in other operators, `rank` is a valid axis: all dimensions then go into the rows.
  int64_t axis = in.node().Int("axis", 1);
  if (axis < -in.rank(0) || axis > in.rank(0))
    in.Fail("axis: got {}, want one of {} dimensions", axis, in.rank(0));
  if (axis < 0) axis += in.rank(0);
  in.Out(0, in.dtype(0),
         {NumElements(Shape(shape.begin(), shape.begin() + axis)),
          NumElements(Shape(shape.begin() + axis, shape.end()))});
}

void InferTranspose(Inference& in) {
  const Shape& shape = in.shape(0);
  std::vector<int64_t> perm(shape.size());
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(perm.size() - 1 - i);
  perm = in.node().Ints("perm", perm);
  if (perm.size() != shape.size())
    in.Fail("perm: got {}, want {} axes", ShapeText(perm), shape.size());
  in.AxisSet(perm, in.rank(0));
  Shape out;
  for (const int64_t axis : perm) out.push_back(shape[in.Axis(axis, in.rank(0))]);
  in.Out(0, in.dtype(0), std::move(out));
}

void InferExpand(Inference& in) {
  const std::vector<int64_t> target = in.ConstantInts(1);
  Shape shape;
  if (std::any_of(target.begin(), target.end(), [](int64_t dim) { return dim < 0; }) ||
      !Broadcast(in.shape(0), target, &shape)) {
    in.Fail("shape: got {} for an input {}, want a shape that the input broadcasts to",
            ShapeText(target), ShapeText(in.shape(0)));
  }
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferUnsqueeze(Inference& in) {
  const std::vector<int64_t> axes = in.ConstantInts(1);
  const std::vector<bool> added = in.AxisSet(axes, in.rank(0) + static_cast<int64_t>(axes.size()));
  Shape shape;
  size_t next = 0;
  for (const bool is_new : added) shape.push_back(is_new ? 1 : in.shape(0)[next++]);
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferSqueeze(Inference& in) {
  const Shape& from = in.shape(0);
  std::vector<bool> gone(from.size());
  if (in.has(1)) {
    gone = in.AxisSet(in.ConstantInts(1), in.rank(0));
  } else {
    for (size_t i = 0; i < from.size(); ++i) gone[i] = from[i] == 1;
  }
  Shape shape;
  for (size_t i = 0; i < from.size(); ++i) {
    if (gone[i] && from[i] != 1) in.Fail("axes: dimension {} of {} is not 1", i, ShapeText(from));
    if (!gone[i]) shape.push_back(from[i]);
  }
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferConcat(Inference& in) {
  Shape shape = in.shape(0);
  const int64_t axis = in.Axis(in.node().Int("axis", 0), in.rank(0));
  for (size_t i = 1; i < in.num_inputs(); ++i) {
    in.WantSameDType(i, 0);
    in.WantRank(i, in.rank(0));
    Shape want = in.shape(i);
    want[axis] = in.shape(0)[axis];
    if (want != in.shape(0)) {
      in.Fail("inputs: got shapes {} and {}, want shapes that differ only along axis {}",
              ShapeText(in.shape(0)), ShapeText(in.shape(i)), axis);
    }
    shape[axis] = AddDims(in, shape[axis], in.shape(i)[axis]);
  }
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferSplit(Inference& in) {
  const int64_t axis = in.Axis(in.node().Int("axis", 0), in.rank(0));
  std::optional<std::vector<int64_t>> sizes;
  if (in.has(1)) sizes = in.ConstantInts(1);
  const int64_t parts = in.node().Int("num_outputs", static_cast<int64_t>(in.num_outputs()));
  if (parts != static_cast<int64_t>(in.num_outputs())) {
    in.Fail("attribute 'num_outputs': got {}, want {}", parts, in.num_outputs());
  }
  const std::vector<int64_t> pieces =
      SplitSizes(in.node(), in.shape(0)[axis], in.num_outputs(), sizes);
  for (size_t i = 0; i < pieces.size(); ++i) {
    Shape shape = in.shape(0);
    shape[axis] = pieces[i];
    in.Out(i, in.dtype(0), std::move(shape));
  }
}

void InferSlice(Inference& in) {
  std::optional<std::vector<int64_t>> axes, steps;
  if (in.has(3)) axes = in.ConstantInts(3);
  if (in.has(4)) steps = in.ConstantInts(4);
  Shape shape;
  for (const SliceRange& range :
       SliceRanges(in.node(), in.shape(0), in.ConstantInts(1), in.ConstantInts(2), axes, steps)) {
    shape.push_back(range.count);
  }
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferGather(Inference& in) {
  in.WantDType(1, kInts);
  const Shape& data = in.shape(0);
  const int64_t axis = in.Axis(in.node().Int("axis", 0), in.rank(0));
  Shape shape(data.begin(), data.begin() + axis);
  shape.insert(shape.end(), in.shape(1).begin(), in.shape(1).end());
  shape.insert(shape.end(), data.begin() + axis + 1, data.end());
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferShape(Inference& in) {
  // Unlike in other operators, positions out of range are clamped.
  const int64_t rank = in.rank(0);
  const auto clamp = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = clamp(in.node().Int("start", 0)), end = clamp(in.node().Int("end", rank));
  in.Out(0, DType::kI64, {std::max<int64_t>(0, end - start)});
}

void InferRange(Inference& in) {
  in.WantDType(0, {DType::kI64, DType::kI32, DType::kF32});
  double bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    in.WantSameDType(i, 0);
    bounds[i] = in.ConstantDouble(i);
  }
  in.Out(0, in.dtype(0), {RangeCount(in.node(), bounds[0], bounds[1], bounds[2])});
}

void InferConstant(Inference& in) {
  if (in.node().attributes.size() != 1)
    in.Fail("got {} attributes, want one", in.node().attributes.size());
  const Attribute& attribute = in.node().attributes.begin()->second;
  if (const auto* tensor = std::get_if<Tensor>(&attribute)) {
    in.Out(0, tensor->dtype, tensor->shape);
  } else if (std::holds_alternative<int64_t>(attribute)) {
    in.Out(0, DType::kI64, {});
  } else if (std::holds_alternative<float>(attribute)) {
    in.Out(0, DType::kF32, {});
  } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute)) {
    in.Out(0, DType::kI64, {static_cast<int64_t>(ints->size())});
  } else {
    const auto* floats = std::get_if<std::vector<float>>(&attribute);
    SINTER_CHECK(floats != nullptr);
    in.Out(0, DType::kF32, {static_cast<int64_t>(floats->size())});
  }
}

void InferConstantOfShape(Inference& in) {
  const std::vector<int64_t> shape = in.ConstantInts(0);
  if (std::any_of(shape.begin(), shape.end(), [](int64_t dim) { return dim < 0; })) {
    in.Fail("input: got {}, want dimensions >= 0", ShapeText(shape));
  }
  DType dtype = DType::kF32;
  if (const Attribute* value = in.node().Find("value")) {
    const Tensor& tensor = std::get<Tensor>(*value);
    if (tensor.num_elements() != 1)
      in.Fail("attribute 'value': got {} elements, want one", tensor.num_elements());
    dtype = tensor.dtype;
  }
  in.Out(0, dtype, shape);
}

}  // namespace

std::vector<OpSpec> ShapeOps() {
  const auto tensor = attr::Of("value", Kind::kTensor);
  return {
      {"", "Identity", 1, kMaxOpset, "input", "output", {}, InferIdentity},
      {"", "Reshape", 5, 13, "data shape", "reshaped", {}, InferReshape},
      {"",
       "Reshape",
       14,
       kMaxOpset,
       "data shape",
       "reshaped",
       {attr::Int("allowzero", {0, 1})},
       InferReshape},
      {"", "Flatten", 9, kMaxOpset, "input", "output", {attr::Int("axis")}, InferFlatten},
      {"",
       "Transpose",
       1,
       kMaxOpset,
       "data",
       "transposed",
       {attr::Of("perm", Kind::kInts)},
       InferTranspose},
      {"", "Expand", 8, kMaxOpset, "input shape", "output", {}, InferExpand},
      {"", "Unsqueeze", 13, kMaxOpset, "data axes", "expanded", {}, InferUnsqueeze},
      {"", "Squeeze", 13, kMaxOpset, "data axes?", "squeezed", {}, InferSqueeze},
      {"",
       "Concat",
       4,
       kMaxOpset,
       "inputs*",
       "concat_result",
       {attr::RequiredInt("axis")},
       InferConcat},
      {"", "Split", 13, 17, "input split?", "outputs*", {attr::Int("axis")}, InferSplit},
      {"",
       "Split",
       18,
       kMaxOpset,
       "input split?",
       "outputs*",
       {attr::Int("axis"), attr::Int("num_outputs")},
       InferSplit},
      {"", "Slice", 10, kMaxOpset, "data starts ends axes? steps?", "output", {}, InferSlice},
      {"", "Gather", 1, kMaxOpset, "data indices", "output", {attr::Int("axis")}, InferGather},
      {"", "Shape", 1, 14, "data", "shape", {}, InferShape},
      {"",
       "Shape",
       15,
       kMaxOpset,
       "data",
       "shape",
       {attr::Int("start"), attr::Int("end")},
       InferShape},
      {"", "Range", 11, kMaxOpset, "start limit delta", "output", {}, InferRange},
      {"",
       "Constant",
       12,
       kMaxOpset,
       "",
       "output",
       {tensor, attr::Int("value_int"), attr::Float("value_float"),
        attr::Of("value_ints", Kind::kInts), attr::Of("value_floats", Kind::kFloats)},
       InferConstant},
      {"", "ConstantOfShape", 9, kMaxOpset, "input", "output", {tensor}, InferConstantOfShape},
      {"",
       "If",
       1,
       kMaxOpset,
       "cond",
       "outputs*",
       {attr::Of("then_branch", Kind::kGraph, true), attr::Of("else_branch", Kind::kGraph, true)},
       nullptr},
  };
}

}  // namespace sinter::graph
