// The operators that Sinter knows: for each its domain, name, versions, inputs, outputs,
// attributes, and the types and shapes of its outputs. What is not in this table is refused when a
// model is loaded.
//
// Sources: https://onnx.ai/onnx/operators/ and, for com.microsoft, ONNX Runtime 1.30's
// docs/ContribOperators.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "graph/graph.h"

namespace sinter::graph {

class Inference;

// An attribute that an operator takes.
struct AttributeSpec {
  enum class Kind { kInt, kFloat, kString, kTensor, kGraph, kInts, kFloats, kStrings };
  std::string_view name;
  Kind kind;
  bool required = false;
  // Where not empty: the only values that Sinter implements.
  std::vector<int64_t> ints = {};
  std::vector<float> floats = {};
  std::vector<std::string_view> strings = {};
};

struct OpSpec {
  std::string_view domain, name;
  // The versions of the domain's operator set that this entry holds for.
  int min_version, max_version;
  // Names in order, each with a mark: `?` may be absent, `!` must be absent (not implemented), `*`
  // any number from one on, and only at the end.
  std::string_view inputs, outputs;
  std::vector<AttributeSpec> attributes;
  // Sets the outputs' types; null for If, which Specialize decides.
  void (*infer)(Inference& inference);
};

// The newest version of ONNX's own operator set that was looked at.
inline constexpr int kMaxOpset = 25;

// Null where the table has no entry.
const OpSpec* FindOp(std::string_view domain, std::string_view name, int version);

// The node's entry. Throws Error naming node, operator, domain and version where the operator, its
// version, an attribute, an attribute's value or the number of inputs or outputs is not one that
// Sinter knows.
const OpSpec& CheckNode(const Node& node);

// Whether every present input has a type and a static shape, so that InferOutputs() can be asked.
bool CanInfer(const Node& node);

// A value as inference sees it. The type is undefined where an optional value is absent.
struct TensorType {
  DType dtype = DType::kUndefined;
  Shape shape;
  // The elements, where known.
  const Tensor* constant = nullptr;
};

// A shape depends on data that is known only when the model runs.
class DataDependentError : public Error {
 public:
  explicit DataDependentError(const std::string& message) : Error(Raw{}, "graph", message) {}
};

// Type and static shape of every output. Throws Error naming the node where the inputs' types or
// shapes do not fit, or where a shape depends on data that is no constant (DataDependentError). The
// second form takes the inputs' types from outside instead of from the node's values, whose names
// it only uses for messages.
std::vector<TensorType> InferOutputs(const Node& node);
std::vector<TensorType> InferOutputs(const Node& node, std::span<const TensorType> inputs);

// InferOutputs, stored into the outputs' values. Throws Error too where a value is declared with
// another type.
void InferNode(Node& node);

// The shape that ONNX's (NumPy's) broadcasting gives; false where the shapes do not fit.
bool Broadcast(const Shape& a, const Shape& b, Shape* out);

// `axis` in [-rank, rank) made >= 0. Throws Error naming the node.
int64_t NormalizeAxis(const Node& node, int64_t axis, int64_t rank);

}  // namespace sinter::graph
