// Table of the operators that Sinter knows: domain, name, versions, inputs, outputs and attributes
// of each, and the types and shapes of its outputs. Loading a model with any other operator fails.
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

// An attribute that an operator accepts.
struct AttributeSpec {
  enum class Kind { kInt, kFloat, kString, kTensor, kGraph, kInts, kFloats, kStrings };
  std::string_view name;
  Kind kind;
  bool required = false;
  // Values of the attribute that Sinter implements; empty for no restriction.
  std::vector<int64_t> ints = {};
  std::vector<float> floats = {};
  std::vector<std::string_view> strings = {};
};

struct OpSpec {
  std::string_view domain, name;
  // Range of versions of the domain's operator set that this entry covers.
  int min_version, max_version;
  // Names in order, separated by spaces. A mark after a name says: `?` may be absent; `!` must be
  // absent (not implemented); `*` one or more values, only at the end.
  std::string_view inputs, outputs;
  std::vector<AttributeSpec> attributes;
  // Sets the types and shapes of the outputs. Null for If, whose branch Specialize chooses.
  void (*infer)(Inference& inference);
};

// Newest version of ONNX's own operator set that the table was checked against.
inline constexpr int kMaxOpset = 25;

// Returns the table's entry, or null if there is none.
const OpSpec* FindOp(std::string_view domain, std::string_view name, int version);

// Returns all entries of the table, sorted by domain, name and version.
std::vector<const OpSpec*> AllOps();

// Returns the node's entry. Throws Error that names node, operator, domain and version if Sinter
// does not know the operator, its version, an attribute, an attribute's value, or the number of
// inputs or outputs.
const OpSpec& CheckNode(const Node& node);

// Returns whether the operator has inference and every present input has a type and a static shape,
// so that InferOutputs() can be called.
bool CanInfer(const Node& node);

// Type, shape and elements of a value as inference sees it. `dtype` is kUndefined for an absent
// optional value.
struct TensorType {
  DType dtype = DType::kUndefined;
  Shape shape;
  // Elements, if they are known.
  const Tensor* constant = nullptr;
};

// Error thrown if a shape depends on data that is known only when the model runs.
class DataDependentError : public Error {
 public:
  explicit DataDependentError(const std::string& message) : Error(Raw{}, "graph", message) {}
};

// Return the type and static shape of every output. Throw Error that names the node if the inputs'
// types or shapes do not fit, and DataDependentError if a shape depends on data that is not
// constant. The second form takes the inputs' types as arguments and uses the node's values only
// for their names in messages.
std::vector<TensorType> InferOutputs(const Node& node);
std::vector<TensorType> InferOutputs(const Node& node, std::span<const TensorType> inputs);

// Stores the results of InferOutputs() in the output values. Also throws Error if a value is
// declared with another type.
void InferNode(Node& node);

// Sets `out` to the shape that ONNX's (NumPy's) broadcasting gives. Returns false if the shapes do
// not fit together.
bool Broadcast(const Shape& a, const Shape& b, Shape* out);

// Returns `axis` in [0, rank) for `axis` in [-rank, rank). Throws Error that names the node for
// another axis.
int64_t NormalizeAxis(const Node& node, int64_t axis, int64_t rank);

}  // namespace sinter::graph
