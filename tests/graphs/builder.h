// Builds one random graph: random choices, operands of a wanted type and shape, nodes whose types
// are inferred as they are added. Internal to the generator.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/ops.h"
#include "graphs/random_graph.h"

namespace sinter::graphs {

using graph::Attribute;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::Value;

// Elements that an operand is filled with.
struct Fill {
  enum class Kind {
    kAny,       // floats around 0, among them special values if the graph has such; small integers
    kMild,      // floats in [-2, 2] without special values
    kScale,     // floats in [1/64, 1/16]: scales of quantized weights
    kNonZero,   // like kAny, without 0
    kPositive,  // floats in [0, 4], integers in [0, 3]
    kIndices,   // integers in [low, high)
    kConstant,  // `low` everywhere
  };
  Kind kind = Kind::kAny;
  int64_t low = 0, high = 1;
};

using Attributes = std::map<std::string, Attribute, std::less<>>;

class Builder {
 public:
  explicit Builder(uint64_t seed);

  // Random choices.
  bool Chance(double probability) { return Uniform() < probability; }
  int64_t Int(int64_t low, int64_t high) {  // in [low, high]
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  double Uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  template <typename T>
  T Pick(std::initializer_list<T> of) {
    return of.begin()[Int(0, static_cast<int64_t>(of.size()) - 1)];
  }
  template <typename T>
  const T& Pick(const std::vector<T>& of) {
    return Pick(const_cast<std::vector<T>&>(of));
  }
  template <typename T>
  T& Pick(std::vector<T>& of) {
    return of[static_cast<size_t>(Int(0, static_cast<int64_t>(of.size()) - 1))];
  }
  DType Float() { return Chance(0.65) ? DType::kF32 : DType::kF16; }
  DType Integer() { return Chance(0.6) ? DType::kI64 : DType::kI32; }
  DType Number() { return Chance(0.7) ? Float() : Integer(); }
  DType AnyType() { return Chance(0.15) ? DType::kBool : Number(); }
  Shape RandomShape(int64_t min_rank, int64_t max_rank);
  // Returns a shape that broadcasts with `shape`.
  Shape Partner(const Shape& shape);
  // Returns an axis of the rank, counted from the front or from the back.
  int64_t Axis(int64_t axis, int64_t rank) { return Chance(0.5) ? axis : axis - rank; }

  int opset() const { return opset_; }
  // Notes that the graph has values of a type that a GPU need not have, and returns the type.
  DType WithoutKernel(DType dtype) {
    result_.may_be_refused = true;
    return dtype;
  }
  bool empty() const { return result_.graph->num_nodes() == 0; }
  DType dtype(const Value* value) const { return known_.at(value).dtype; }
  const Shape& shape(const Value* value) const { return known_.at(value).shape; }
  int64_t rank(const Value* value) const { return static_cast<int64_t>(shape(value).size()); }

  // Returns a value of the type and shape: one that exists, a new input or a new constant.
  Value* Operand(DType dtype, const Shape& shape, Fill fill = {});
  // Returns a value of one of the types, with a rank in the range.
  Value* Base(std::initializer_list<DType> types, int64_t min_rank = 0, int64_t max_rank = 4);
  Value* Input(DType dtype, const Shape& shape, Fill fill = {});
  Value* Constant(DType dtype, const Shape& shape, Fill fill = {});
  Value* Constant(Tensor tensor);
  Value* Ints(const std::vector<int64_t>& values);
  // Returns packed weights: random bytes of `dtype` (u8, u4 or i4).
  Value* Codes(DType dtype, const Shape& shape);
  // Returns an input that no other node reads, because `output` of a later node updates it in
  // place.
  Value* Cache(DType dtype, const Shape& shape);
  void InPlace(const Value* output, const Value* input, int64_t defined_rows);

  // Adds a node and returns its outputs. `wanted` tells which outputs exist; their number includes
  // absent ones. Throws Error if the operator refuses its inputs.
  std::vector<Value*> Add(std::string_view domain, std::string_view op,
                          const std::vector<Value*>& inputs, Attributes attributes = {},
                          const std::vector<bool>& wanted = {true});
  Value* Add1(std::string_view domain, std::string_view op, const std::vector<Value*>& inputs,
              Attributes attributes = {}) {
    return Add(domain, op, inputs, std::move(attributes))[0];
  }
  // Adds `If` on a constant condition whose branches have one unary operator each.
  Value* AddIf(Value* condition, Value* x, std::string_view then_op, std::string_view else_op);

  // Marks the outputs and returns the graph.
  RandomGraph Finish();
  // Puts a fault into one node, and returns what it is.
  static std::string Damage(graph::Graph& graph, std::mt19937_64& random);

 private:
  struct Known {
    DType dtype;
    Shape shape;
    std::optional<Tensor> constant;
  };
  Value* FindOperand(DType dtype, const Shape& shape);
  interpret::HostTensor Elements(DType dtype, const Shape& shape, const Fill& fill);
  double FloatElement(DType dtype, const Fill& fill);
  double IntElement(const Fill& fill);

  std::mt19937_64 random_;
  RandomGraph result_;
  int opset_ = 21;
  bool special_ = false, symbolic_ = false;
  int names_ = 0;
  std::map<const Value*, Known> known_;
  // Values that later nodes may read, in the order in which they were made.
  std::vector<Value*> pool_;
};

// A function that adds a node of one operator (or a small pattern of nodes) to the graph.
struct Maker {
  std::string_view domain, name;
  std::function<void(Builder&)> make;
  double weight = 1;
};
// Makers of operators, by file. Names are those of the operator table.
std::vector<Maker> ElementwiseMakers();
std::vector<Maker> MovementMakers();
std::vector<Maker> ReductionMakers();
std::vector<Maker> ProductMakers();
std::vector<Maker> AttentionMakers();
// Patterns that rewrites look for; their names are not operators.
std::vector<Maker> PatternMakers();

}  // namespace sinter::graphs
