// What the inference functions of ops_*.cc see of a node. Internal to src/graph.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "graph/ops.h"

namespace sinter::graph {

inline constexpr std::initializer_list<DType> kFloats = {DType::kF32, DType::kF16};
inline constexpr std::initializer_list<DType> kInts = {DType::kI64, DType::kI32};
inline constexpr std::initializer_list<DType> kNumbers = {DType::kF32, DType::kF16, DType::kI64,
                                                          DType::kI32, DType::kF64};

class Inference {
 public:
  Inference(const Node& node, const OpSpec& spec, std::span<const TensorType> inputs)
      : node_(node), spec_(spec), inputs_(inputs), outputs_(node.outputs().size()) {}

  const Node& node() const { return node_; }
  size_t num_inputs() const { return inputs_.size(); }
  size_t num_outputs() const { return outputs_.size(); }
  bool has(size_t input) const {
    return input < inputs_.size() && inputs_[input].dtype != DType::kUndefined;
  }
  DType dtype(size_t input) const { return inputs_[input].dtype; }
  const Shape& shape(size_t input) const { return inputs_[input].shape; }
  int64_t rank(size_t input) const { return static_cast<int64_t>(shape(input).size()); }
  bool is_constant(size_t input) const { return inputs_[input].constant != nullptr; }

  // The elements of a constant list (rank 0 or 1) of integers, of at most 64 elements: a shape,
  // axes, sizes.
  std::vector<int64_t> ConstantInts(size_t input) const;
  // The only element of a constant.
  double ConstantDouble(size_t input) const;

  void WantDType(size_t input, std::initializer_list<DType> allowed) const;
  void WantSameDType(size_t input, size_t other) const;
  void WantRank(size_t input, int64_t rank) const;
  void WantShape(size_t input, const Shape& shape) const;

  int64_t Axis(int64_t axis, int64_t rank) const { return NormalizeAxis(node_, axis, rank); }
  // Axes in [-rank, rank), as one flag a dimension. Refuses a repeated axis.
  std::vector<bool> AxisSet(const std::vector<int64_t>& axes, int64_t rank) const;

  // Ignored where the output is absent. Refuses shapes of 2^56 elements and more, whose bytes could
  // overflow.
  void Out(size_t output, DType dtype, Shape shape);

  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("graph", "{}: {}", node_.Describe(),
                fmt::format(format, std::forward<Args>(args)...));
  }

  std::vector<TensorType> Take() { return std::move(outputs_); }

 private:
  std::string InputName(size_t input) const;
  const Tensor& Constant(size_t input) const;

  const Node& node_;
  const OpSpec& spec_;
  std::span<const TensorType> inputs_;
  std::vector<TensorType> outputs_;
};

// "[2, 3]".
std::string ShapeText(const Shape& shape);

// Block sizes, weights and shapes from a file are bounded here, so that products of two stay far
// inside int64.
inline constexpr int64_t kMaxDim = int64_t{1} << 31;

inline int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// A required attribute in [1, kMaxDim).
int64_t PositiveInt(const Inference& in, std::string_view name);

// Weight [n, k] quantized in blocks, as MatMulNBits has it: its codes, scales, zero points and bias
// by input. Zero points and bias may be absent. Refuses shapes that do not fit, and scales and bias
// of another type than `dtype`.
struct NBitsInputs {
  size_t b, scales, zero_points, bias;
};
void CheckNBitsWeight(const Inference& in, const NBitsInputs& inputs, DType dtype, int64_t n,
                      int64_t k, int64_t bits, int64_t block_size);

// The experts of QMoE: the places of their inputs, of which biases and zero points may be absent.
struct ExpertInputs {
  size_t x;
  size_t fc1, fc1_scales, fc1_bias, fc2, fc2_scales, fc2_bias, fc1_zero_points, fc2_zero_points;
};
// Checks them by the attributes of QMoE. Output 0 is like input x [..., hidden].
void CheckExperts(Inference& in, const ExpertInputs& inputs, int64_t experts);
// QMoE's attributes.
std::vector<AttributeSpec> ExpertAttributes();

// The table, by group.
std::vector<OpSpec> ElementwiseOps();
std::vector<OpSpec> ShapeOps();
std::vector<OpSpec> ReduceOps();
std::vector<OpSpec> ContribOps();
std::vector<OpSpec> AttentionOps();
std::vector<OpSpec> FusedOps();

namespace attr {

inline AttributeSpec Int(std::string_view name, std::vector<int64_t> allowed = {}) {
  return {name, AttributeSpec::Kind::kInt, false, std::move(allowed)};
}
inline AttributeSpec RequiredInt(std::string_view name, std::vector<int64_t> allowed = {}) {
  return {name, AttributeSpec::Kind::kInt, true, std::move(allowed)};
}
inline AttributeSpec Float(std::string_view name, std::vector<float> allowed = {}) {
  return {name, AttributeSpec::Kind::kFloat, false, {}, std::move(allowed)};
}
inline AttributeSpec String(std::string_view name, std::vector<std::string_view> allowed) {
  return {name, AttributeSpec::Kind::kString, false, {}, {}, std::move(allowed)};
}
inline AttributeSpec Of(std::string_view name, AttributeSpec::Kind kind, bool required = false) {
  return {name, kind, required};
}

}  // namespace attr
}  // namespace sinter::graph
