// The graph: nodes in topological order, and values with links between producers and users. It
// depends neither on the ONNX file format nor on a GPU.
//
// A Graph owns its nodes and values. Raw pointers to them stay valid until the node or value is
// removed. Shapes of a graph that was just read may have symbolic dimensions; Specialize
// (passes/specialize.h) binds them, so a program's graph has only numbers.
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

// A dimension: a number >= 0, a symbol such as `sequence_length`, or unknown (neither).
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

// A tensor of the graph: a graph input, a constant, or the output of exactly one node.
class Value {
 public:
  const std::string& name() const { return name_; }
  Node* producer() const { return producer_; }
  // Every (node, input index) that reads this value. A node that reads it twice is listed twice.
  const std::vector<std::pair<Node*, int>>& uses() const { return uses_; }
  bool is_graph_output() const { return is_graph_output_; }

  DType dtype = DType::kUndefined;
  // Dimensions; absent if the rank is unknown.
  std::optional<Dims> dims;
  // Elements, if they are known before the graph runs.
  std::optional<Tensor> constant;

  bool has_static_shape() const;
  // Returns the shape as numbers. SINTER_CHECKs has_static_shape().
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

// An attribute value of one of ONNX's kinds. Graph-valued attributes (of If) hold a subgraph.
// Graph::captures() lists the outer values that the subgraph reads; each stands for the value of
// the same name in the graph that holds the node, where it may itself be a capture of a value
// further out. Clones share subgraphs, so a subgraph is never changed in place.
using Attribute =
    std::variant<int64_t, float, std::string, Tensor, std::shared_ptr<Graph>, std::vector<int64_t>,
                 std::vector<float>, std::vector<std::string>, std::vector<Tensor>>;

// A call of an operator. A null pointer stands for an absent optional input or output.
class Node {
 public:
  const std::string& name() const { return name_; }
  // Domain of the operator; "" is ONNX's own.
  const std::string& domain() const { return domain_; }
  const std::string& op() const { return op_; }
  // Version of the domain's operator set that the model imports.
  int version() const { return version_; }
  const std::vector<Value*>& inputs() const { return inputs_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  // Returns null if `i` is past the end or the input or output is absent.
  Value* input(size_t i) const { return i < inputs_.size() ? inputs_[i] : nullptr; }
  Value* output(size_t i) const { return i < outputs_.size() ? outputs_[i] : nullptr; }

  std::map<std::string, Attribute, std::less<>> attributes;

  // Return the attribute, or `fallback` if it is absent (Find: null). Int, Float, String and Ints
  // throw Error that names node and attribute if the attribute has another kind.
  int64_t Int(std::string_view name, int64_t fallback) const;
  float Float(std::string_view name, float fallback) const;
  std::string String(std::string_view name, std::string_view fallback) const;
  std::vector<int64_t> Ints(std::string_view name, const std::vector<int64_t>& fallback) const;
  const Attribute* Find(std::string_view name) const;

  // Returns `node 'NAME' (DOMAIN::OP, version N)` for error messages.
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
  // Versions of the imported operator sets, by domain.
  std::map<std::string, int> opsets;

  // Returns a deep copy that shares only the bytes of constants and the subgraphs. Names and order
  // are kept.
  std::unique_ptr<Graph> Clone() const;

  const std::vector<Value*>& inputs() const { return inputs_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  const NodeList& nodes() const { return nodes_; }
  size_t num_nodes() const { return nodes_.size(); }
  // Returns all values in the order of their creation.
  std::vector<Value*> values() const;
  // Values of a subgraph that stand for outer values of the same names. They belong to the subgraph
  // and have no producer.
  const std::vector<Value*>& captures() const { return captures_; }

  // Returns the value with the name, or null.
  Value* FindValue(std::string_view name) const;
  // Returns whether a subgraph of one of the nodes reads `value`.
  bool IsCaptured(const Value* value) const;

  // Adds a value. A name that is taken gets a suffix that makes it unique; an empty name gets a
  // fresh one.
  Value* AddValue(std::string_view name, DType dtype = DType::kUndefined,
                  std::optional<Dims> dims = {});
  Value* AddInput(std::string_view name, DType dtype, std::optional<Dims> dims);
  Value* AddConstant(std::string_view name, Tensor tensor);
  Value* AddCapture(std::string_view name);
  void AddOutput(Value* value);
  void RemoveInput(Value* value);

  // Adds a node before `before`, or at the end if it is null. SINTER_CHECKs that none of the
  // outputs has a producer yet.
  Node* AddNode(std::string_view name, std::string_view domain, std::string_view op,
                std::vector<Value*> inputs, std::vector<Value*> outputs, Node* before = nullptr);
  void SetInput(Node* node, size_t index, Value* value);
  void SetOutput(Node* node, size_t index, Value* value);
  // Makes every reader of `from` read `to` instead, including graph outputs and subgraphs. If
  // `from` is a graph output, `to` becomes the output and takes over its name. SINTER_CHECKs
  // CanReplaceAllUses().
  void ReplaceAllUses(Value* from, Value* to);
  // Returns false if `from` is a graph output and `to` cannot take its name because it is an input,
  // a capture or another output.
  bool CanReplaceAllUses(const Value* from, const Value* to) const;
  // Removes a node and its outputs. SINTER_CHECKs that nothing reads the outputs.
  void RemoveNode(Node* node);
  // Removes nodes that do not contribute to a graph output, and values without producer and
  // readers. Inputs stay.
  void RemoveDead();
  // Sorts the nodes topologically and otherwise keeps their order. Throws Error that names a node
  // of a cycle if there is one.
  void SortTopologically();

 private:
  void AddUse(Value* value, Node* node, int index);
  void RemoveUse(Value* value, Node* node, int index);
  void SwapNames(Value* a, Value* b);
  // Makes subgraphs that capture the name `from` capture `to`. Replaces each such subgraph by a
  // changed copy.
  void RenameCaptures(std::string_view from, std::string_view to);
  void EraseValues(const std::vector<Value*>& values);

  NodeList nodes_;
  std::map<std::string, std::unique_ptr<Value>, std::less<>> values_by_name_;
  std::vector<Value*> order_, inputs_, outputs_, captures_;
  int next_name_ = 0;
};

// Returns the names of the outer values that the node's subgraphs capture.
std::vector<std::string> CapturedNames(const Node& node);

// Returns the only reader of `value`. Returns null if there are none or several, or if the value is
// a graph output or captured.
Node* OnlyUse(const Value* value);

}  // namespace sinter::graph
