// Interface between a node and the inference functions of ops_*.cc. Internal to src/graph.
#pragma once

#include <fmt/core.h>

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

  // Returns the elements of a constant list of integers (a shape, axes, sizes): rank 0 or 1, at
  // most 64 elements. Throws Error for another type or shape, DataDependentError if the input is
  // not a constant.
  std::vector<int64_t> ConstantInts(size_t input) const;
  // Returns the element of a constant with one element (rank 0 or 1). Throws like ConstantInts().
  double ConstantDouble(size_t input) const;

  void WantDType(size_t input, std::initializer_list<DType> allowed) const;
  void WantSameDType(size_t input, size_t other) const;
  void WantRank(size_t input, int64_t rank) const;
  void WantShape(size_t input, const Shape& shape) const;

  int64_t Axis(int64_t axis, int64_t rank) const { return NormalizeAxis(node_, axis, rank); }
  // Returns one flag for each dimension, set for the given axes in [-rank, rank). Throws Error for
  // a repeated axis.
  std::vector<bool> AxisSet(const std::vector<int64_t>& axes, int64_t rank) const;

  // Sets the type and shape of an output; does nothing if the node omits it. Throws Error for 2^56
  // or more elements, whose bytes could overflow.
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

// Returns the shape as text, for example "[2, 3]".
std::string ShapeText(const Shape& shape);

// Exclusive upper bound on dimensions and block sizes from a file, so that the product of two of
// them stays far below the limit of int64.
inline constexpr int64_t kMaxDim = int64_t{1} << 31;

inline int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// Returns a required attribute. Throws Error if it is not in [1, kMaxDim).
int64_t PositiveInt(const Inference& in, std::string_view name);

// Input indices of a weight [n, k] that is quantized in blocks, in the form of MatMulNBits. Zero
// points and bias may be absent.
struct NBitsInputs {
  size_t b, scales, zero_points, bias;
};
// Throws Error if the inputs' shapes do not fit, or if scales or bias are not of type `dtype`.
void CheckNBitsWeight(const Inference& in, const NBitsInputs& inputs, DType dtype, int64_t n,
                      int64_t k, int64_t bits, int64_t block_size);

// Input indices of the experts of QMoE. Biases and zero points may be absent.
struct ExpertInputs {
  size_t x;
  size_t fc1, fc1_scales, fc1_bias, fc2, fc2_scales, fc2_bias, fc1_zero_points, fc2_zero_points;
};
// Checks the experts against QMoE's attributes. Throws Error if types or shapes do not fit. Sets
// output 0 to the type and shape of input x: [..., hidden].
void CheckExperts(Inference& in, const ExpertInputs& inputs, int64_t experts);
// Returns QMoE's attributes.
std::vector<AttributeSpec> ExpertAttributes();

// Entries of the operator table, by group.
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
