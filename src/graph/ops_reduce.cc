// Types and shapes of operators that reduce dimensions: reductions, softmax, normalizations,
// MatMul.
#include <algorithm>

#include "graph/inference.h"

namespace sinter::graph {
namespace {

using Kind = AttributeSpec::Kind;

// Newer versions take the axes as input 1, older ones as an attribute.
void InferReduce(Inference& in) {
  in.WantDType(0, kNumbers);
  std::vector<int64_t> axes = in.node().Ints("axes", {});
  if (in.has(1)) axes = in.ConstantInts(1);
  std::vector<bool> reduced = in.AxisSet(axes, in.rank(0));
  if (axes.empty() && in.node().Int("noop_with_empty_axes", 0) == 0)
    reduced.assign(reduced.size(), true);
  const bool keep = in.node().Int("keepdims", 1) != 0;
  Shape shape;
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (!reduced[i]) {
      shape.push_back(in.shape(0)[i]);
    } else if (keep) {
      shape.push_back(1);
    }
  }
  in.Out(0, in.dtype(0), std::move(shape));
}

void InferSoftmax(Inference& in) {
  in.WantDType(0, kFloats);
  in.Axis(in.node().Int("axis", -1), in.rank(0));
  in.Out(0, in.dtype(0), in.shape(0));
}

void InferMatMul(Inference& in) {
  in.WantDType(0, kFloats);
  in.WantSameDType(1, 0);
  Shape a = in.shape(0), b = in.shape(1);
  if (a.empty() || b.empty()) in.Fail("inputs: got a scalar, want at least one dimension");
  // A vector is a row on the left and a column on the right. The result does not have that extra
  // dimension.
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  Shape shape;
  if (a.back() != b[b.size() - 2] ||
      !Broadcast(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2), &shape)) {
    in.Fail("inputs: got shapes {} and {}, want a matrix product", ShapeText(in.shape(0)),
            ShapeText(in.shape(1)));
  }
  if (!row) shape.push_back(a[a.size() - 2]);
  if (!column) shape.push_back(b.back());
  in.Out(0, in.dtype(0), std::move(shape));
}

// Input and scale may have different types. The output has the scale's type.
void InferRmsNorm(Inference& in) {
  in.WantDType(0, kFloats);
  in.WantDType(1, kFloats);
  const int64_t axis = in.Axis(in.node().Int("axis", -1), in.rank(0));
  in.WantShape(1, Shape(in.shape(0).begin() + axis, in.shape(0).end()));
  in.Out(0, in.dtype(1), in.shape(0));
}

// Input and scale may have different types. The output has the scale's type.
void InferLayerNorm(Inference& in) {
  InferRmsNorm(in);
  if (in.has(2)) {
    in.WantSameDType(2, 1);
    in.WantShape(2, in.shape(1));
  }
  Shape statistics = in.shape(0);
  std::fill(statistics.end() - in.rank(1), statistics.end(), 1);
  in.Out(1, DType::kF32, statistics);
  in.Out(2, DType::kF32, statistics);
}

void InferSkipRmsNorm(Inference& in) {
  in.WantDType(0, kFloats);
  for (size_t i = 1; i < in.num_inputs(); ++i) {
    if (in.has(i)) in.WantSameDType(i, 0);
  }
  const Shape& shape = in.shape(0);
  if (shape.empty()) in.Fail("input: got a scalar, want at least one dimension");
  in.WantShape(1, shape);
  in.WantShape(2, {shape.back()});
  if (in.has(3)) in.WantShape(3, {shape.back()});
  Shape statistics = shape;
  statistics.back() = 1;
  in.Out(0, in.dtype(0), shape);
  in.Out(1, DType::kF32, statistics);
  in.Out(2, DType::kF32, statistics);
  in.Out(3, in.dtype(0), shape);
}

}  // namespace

std::vector<OpSpec> ReduceOps() {
  std::vector<OpSpec> ops;
  const std::pair<std::string_view, int> reductions[] = {
      {"ReduceSum", 13}, {"ReduceMax", 18}, {"ReduceMean", 18}};
  for (const auto& [name, axes_input_version] : reductions) {
    ops.push_back({"",
                   name,
                   1,
                   axes_input_version - 1,
                   "data",
                   "reduced",
                   {attr::Of("axes", Kind::kInts), attr::Int("keepdims", {0, 1})},
                   InferReduce});
    ops.push_back({"",
                   name,
                   axes_input_version,
                   kMaxOpset,
                   "data axes?",
                   "reduced",
                   {attr::Int("keepdims", {0, 1}), attr::Int("noop_with_empty_axes", {0, 1})},
                   InferReduce});
  }
  // Versions before 13 are missing: their softmax runs over all dimensions from `axis` on.
  ops.push_back(
      {"", "Softmax", 13, kMaxOpset, "input", "output", {attr::Int("axis")}, InferSoftmax});
  ops.push_back({"", "MatMul", 1, kMaxOpset, "A B", "Y", {}, InferMatMul});
  const std::vector<AttributeSpec> norm = {attr::Int("axis"), attr::Float("epsilon"),
                                           attr::Int("stash_type", {1})};
  // ONNX Runtime defines this operator in ONNX's own domain.
  ops.push_back({"", "SimplifiedLayerNormalization", 1, kMaxOpset, "X scale", "Y inv_std_var!",
                 norm, InferRmsNorm});
  ops.push_back({"com.microsoft", "SimplifiedLayerNormalization", 1, 1, "X scale", "Y inv_std_var!",
                 norm, InferRmsNorm});
  // ONNX Runtime knows it since version 1, ONNX since 17.
  ops.push_back({"", "LayerNormalization", 1, kMaxOpset, "X Scale B?", "Y Mean? InvStdDev?", norm,
                 InferLayerNorm});
  ops.push_back({"", "RMSNormalization", 23, kMaxOpset, "X scale", "Y", norm, InferRmsNorm});
  ops.push_back({"com.microsoft",
                 "SkipSimplifiedLayerNormalization",
                 1,
                 1,
                 "input skip gamma bias?",
                 "output mean? inv_std_var? input_skip_bias_sum?",
                 {attr::Float("epsilon")},
                 InferSkipRmsNorm});
  return ops;
}

}  // namespace sinter::graph
