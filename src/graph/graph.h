// The graph: nodes in topological order, values with def-use links. Knows no ONNX file format and
// no GPU.
//
// A Graph owns its nodes and values; raw pointers between them stay valid until the node or value
// is removed. Shapes may hold symbolic dimensions when a graph is read; Specialize (specialize.h)
// binds them, so that a program's graph has numbers only.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "graph/tensor.h"

namespace sinter::graph {

class Graph;
class Node;

// One dimension: a number >= 0, a symbol such as `sequence_length`, or unknown (neither).
struct Dim {
  int64_t value = -1;
  std::string symbol;

  Dim() = default;
  Dim(int64_t v) : value(v) {}                  // NOLINT(google-explicit-constructor)
  Dim(std::string s) : symbol(std::move(s)) {}  // NOLINT(google-explicit-constructor)
  bool known() const { return value >= 0; }
  bool operator==(const Dim&) const = default;
};
using Dims = std::vector<Dim>;

// What flows between nodes: a graph input, a constant, or an output of exactly one node.
class Value {
 public:
  const std::string& name() const { return name_; }
  Node* producer() const { return producer_; }
  // Every (node, input index) that reads this value; a node that reads it twice stands twice.
  const std::vector<std::pair<Node*, int>>& uses() const { return uses_; }
  bool is_graph_output() const { return is_graph_output_; }

  DType dtype = DType::kUndefined;
  // Absent while the rank is unknown.
  std::optional<Dims> dims;
  // The elements, where they are known before running.
  std::optional<Tensor> constant;

  bool has_static_shape() const;
  // The shape as numbers. SINTER_CHECKs has_static_shape().
  Shape shape() const;
  void set_shape(const Shape& shape) { dims = Dims(shape.begin(), shape.end()); }
  void SetConstant(Tensor tensor);

 private:
  friend class Graph;
  friend Node* OnlyUse(const Value* value);
  std::string name_;
  Graph* graph_ = nullptr;
  Node* producer_ = nullptr;
  std::vector<std::pair<Node*, int>> uses_;
  bool is_graph_output_ = false;
};

// An attribute: ONNX's kinds. Graph-valued attributes (If) hold a subgraph whose captured outer
// values are listed in Graph::captures(): each stands for the value of the same name in the graph
// that holds the node (a capture of that graph in turn, where the value lies further out).
// Subgraphs are shared between clones, so nobody changes one in place.
using Attribute =
    std::variant<int64_t, float, std::string, Tensor, std::shared_ptr<Graph>, std::vector<int64_t>,
                 std::vector<float>, std::vector<std::string>, std::vector<Tensor>>;

// One operator call. An optional input or output that is absent is a null pointer.
class Node {
 public:
  const std::string& name() const { return name_; }
  // "" is ONNX's own domain.
  const std::string& domain() const { return domain_; }
  const std::string& op() const { return op_; }
  // The version of the operator set of `domain` that the model imports.
  int version() const { return version_; }
  const std::vector<Value*>& inputs() const { return inputs_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  // Null past the end or where absent.
  Value* input(size_t i) const { return i < inputs_.size() ? inputs_[i] : nullptr; }
  Value* output(size_t i) const { return i < outputs_.size() ? outputs_[i] : nullptr; }

  std::map<std::string, Attribute, std::less<>> attributes;

  // The attribute, or `fallback` where it is absent. Throws Error naming node and attribute where
  // the kind is another.
  int64_t Int(std::string_view name, int64_t fallback) const;
  float Float(std::string_view name, float fallback) const;
  std::string String(std::string_view name, std::string_view fallback) const;
  std::vector<int64_t> Ints(std::string_view name, const std::vector<int64_t>& fallback) const;
  const Attribute* Find(std::string_view name) const;

  // `node 'NAME' (DOMAIN::OP, version N)`, for errors.
  std::string Describe() const;

 private:
  friend class Graph;
  std::string name_, domain_, op_;
  int version_ = 0;
  std::vector<Value*> inputs_, outputs_;
  std::list<std::unique_ptr<Node>>::iterator self_;
};

class Graph {
 public:
  using NodeList = std::list<std::unique_ptr<Node>>;

  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  std::string name;
  // Operator set versions by domain.
  std::map<std::string, int> opsets;

  // A deep copy; constants' bytes and subgraphs are shared. Names and order stay.
  std::unique_ptr<Graph> Clone() const;

  const std::vector<Value*>& inputs() const { return inputs_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  const NodeList& nodes() const { return nodes_; }
  size_t num_nodes() const { return nodes_.size(); }
  // Every value, in the order of creation.
  std::vector<Value*> values() const;
  // In a subgraph: outer values that it reads, by name; they are Values of this graph without
  // producer.
  const std::vector<Value*>& captures() const { return captures_; }

  // The value of that name, or null.
  Value* FindValue(std::string_view name) const;
  // Whether a subgraph of one of the nodes reads `value`.
  bool IsCaptured(const Value* value) const;

  // A new value. The name is made unique by a suffix where it is taken; an empty name gets a fresh
  // one.
  Value* AddValue(std::string_view name, DType dtype = DType::kUndefined,
                  std::optional<Dims> dims = {});
  Value* AddInput(std::string_view name, DType dtype, std::optional<Dims> dims);
  Value* AddConstant(std::string_view name, Tensor tensor);
  Value* AddCapture(std::string_view name);
  void AddOutput(Value* value);
  void RemoveInput(Value* value);

  // A new node before `before` (at the end where null). SINTER_CHECKs that no output has a producer
  // yet.
  Node* AddNode(std::string_view name, std::string_view domain, std::string_view op,
                std::vector<Value*> inputs, std::vector<Value*> outputs, Node* before = nullptr);
  void SetInput(Node* node, size_t index, Value* value);
  void SetOutput(Node* node, size_t index, Value* value);
  // Makes every reader of `from` (graph outputs and subgraphs too) read `to`. A graph output keeps
  // its name: `to` takes it over. SINTER_CHECKs CanReplaceAllUses().
  void ReplaceAllUses(Value* from, Value* to);
  // False where `from` is a graph output and `to` cannot take its name (an input, a capture or
  // another output).
  bool CanReplaceAllUses(const Value* from, const Value* to) const;
  // Removes a node whose outputs nobody reads, and those outputs. SINTER_CHECKs that.
  void RemoveNode(Node* node);
  // Removes nodes that do not lead to a graph output, and values that nobody makes or reads.
  void RemoveDead();
  // Puts the nodes into topological order, keeping their order otherwise. Throws Error naming a
  // node of a cycle.
  void SortTopologically();

 private:
  void AddUse(Value* value, Node* node, int index);
  void RemoveUse(Value* value, Node* node, int index);
  void SwapNames(Value* a, Value* b);
  // Makes subgraphs that capture the name `from` capture `to`; works on copies of them.
  void RenameCaptures(std::string_view from, std::string_view to);
  void EraseValues(const std::vector<Value*>& values);

  NodeList nodes_;
  std::map<std::string, std::unique_ptr<Value>, std::less<>> values_by_name_;
  std::vector<Value*> order_, inputs_, outputs_, captures_;
  int next_name_ = 0;
};

// The outer values that the node's subgraphs capture, as names.
std::vector<std::string> CapturedNames(const Node& node);

// The single reader of `value`, or null where there are none or several, or where it is a graph
// output or captured.
Node* OnlyUse(const Value* value);

}  // namespace sinter::graph
