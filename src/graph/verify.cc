#include "graph/verify.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"
#include "graph/inference.h"
#include "graph/ops.h"

namespace sinter::graph {
namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, int depth) : graph_(graph), depth_(depth) {}

  void Run() {
    if (depth_ > kMaxSubgraphDepth)
      throw Error("graph", "subgraphs: nest deeper than {}", kMaxSubgraphDepth);
    CheckValues();
    for (const Value* value : graph_.inputs()) Define(value);
    for (const Value* value : graph_.captures()) Define(value);
    for (const Value* value : values_) {
      if (value->constant) Define(value);
    }
    for (const auto& node : graph_.nodes()) CheckNodeOf(*node);
    for (const Value* value : graph_.outputs()) {
      SINTER_CHECK(Owns(value) && value->is_graph_output(), "a graph output of another graph");
      if (!defined_.contains(value)) {
        throw Error("graph", "output '{}': nothing produces it", value->name());
      }
    }
    for (const Value* value : values_) {
      SINTER_CHECK(uses_[value] == static_cast<int>(value->uses().size()),
                   "value '{}' lists {} uses, but nodes read it {} times", value->name(),
                   value->uses().size(), uses_[value]);
      SINTER_CHECK(value->producer() == nullptr || defined_.contains(value),
                   "value '{}': its producer does not list it", value->name());
    }
  }

 private:
  void CheckValues() {
    const std::vector<Value*> values = graph_.values();
    values_.assign(values.begin(), values.end());
    owned_.insert(values_.begin(), values_.end());
    std::set<std::string_view> names;
    for (const Value* value : values_) {
      SINTER_CHECK(!value->name().empty() && names.insert(value->name()).second &&
                       graph_.FindValue(value->name()) == value,
                   "value '{}': its name finds another value", value->name());
      if (value->has_static_shape()) NumElements(value->shape());
      if (!value->constant) continue;
      const Tensor& tensor = *value->constant;
      if (value->producer() != nullptr) {
        throw Error("graph", "value '{}': is a constant, but {} produces it", value->name(),
                    value->producer()->Describe());
      }
      if (value->dtype != tensor.dtype || !value->has_static_shape() ||
          value->shape() != tensor.shape) {
        throw Error("graph", "constant '{}': its declared type or shape differs from its elements'",
                    value->name());
      }
      if (!tensor.has_all_bytes()) {
        throw Error("graph", "constant '{}': got {} bytes for {}{}", value->name(),
                    tensor.bytes.size(), DTypeName(tensor.dtype), ShapeText(tensor.shape));
      }
    }
  }

  bool Owns(const Value* value) const { return owned_.contains(value); }

  void Define(const Value* value) {
    SINTER_CHECK(Owns(value), "an input or capture of another graph");
    defined_.insert(value);
  }

  void CheckNodeOf(const Node& node) {
    const OpSpec& spec = CheckNode(node);
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      const Value* value = node.input(i);
      if (value == nullptr) continue;
      SINTER_CHECK(Owns(value), "{}: input {} is of another graph", node.Describe(), i);
      const auto& uses = value->uses();
      const std::pair use(const_cast<Node*>(&node), static_cast<int>(i));
      SINTER_CHECK(std::count(uses.begin(), uses.end(), use) == 1,
                   "{}: input '{}' does not list this use", node.Describe(), value->name());
      ++uses_[value];
      CheckDefined(node, *value);
    }
    for (const auto& [name, attribute] : node.attributes) {
      const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph != nullptr) CheckSubgraph(node, name, **subgraph);
    }
    for (size_t i = 0; i < node.outputs().size(); ++i) {
      const Value* value = node.output(i);
      if (value == nullptr) continue;
      SINTER_CHECK(Owns(value) && value->producer() == &node && defined_.insert(value).second,
                   "{}: output '{}' has another producer", node.Describe(), value->name());
    }
    if (spec.infer != nullptr && CanInfer(node)) CheckTypes(node);
  }

  void CheckDefined(const Node& node, const Value& value) const {
    if (defined_.contains(&value)) return;
    if (value.producer() == nullptr) {
      throw Error("graph", "{}: input '{}': nothing produces it", node.Describe(), value.name());
    }
    throw Error("graph", "{}: input '{}': comes from {}, which is not before it", node.Describe(),
                value.name(), value.producer()->Describe());
  }

  void CheckSubgraph(const Node& node, const std::string& name, const Graph& subgraph) const {
    for (const Value* capture : subgraph.captures()) {
      const Value* outer = graph_.FindValue(capture->name());
      if (outer == nullptr) {
        throw Error("graph", "{}: {} reads '{}', which is not a value of an enclosing graph",
                    node.Describe(), name, capture->name());
      }
      CheckDefined(node, *outer);
    }
    if (subgraph.outputs().size() != node.outputs().size()) {
      throw Error("graph", "{}: {} gives {} outputs, want {}", node.Describe(), name,
                  subgraph.outputs().size(), node.outputs().size());
    }
    Verifier(subgraph, depth_ + 1).Run();
  }

  // Compares declared types with inferred ones. Shapes that depend on data are not checked;
  // Specialize decides whether they must be known.
  void CheckTypes(const Node& node) const {
    std::vector<TensorType> types;
    try {
      types = InferOutputs(node);
    } catch (const DataDependentError&) {
      return;
    }
    for (size_t i = 0; i < types.size(); ++i) {
      const Value* value = node.output(i);
      if (value == nullptr) continue;
      const bool type_fits = value->dtype == DType::kUndefined || value->dtype == types[i].dtype;
      bool shape_fits = !value->dims || value->dims->size() == types[i].shape.size();
      for (size_t d = 0; shape_fits && value->dims && d < types[i].shape.size(); ++d) {
        const Dim& dim = (*value->dims)[d];
        shape_fits = !dim.known() || dim.value == types[i].shape[d];
      }
      if (!type_fits || !shape_fits) {
        throw Error(
            "graph", "{}: output '{}': declared differently from what the operator gives: {}{}",
            node.Describe(), value->name(), DTypeName(types[i].dtype), ShapeText(types[i].shape));
      }
    }
  }

  const Graph& graph_;
  const int depth_;
  std::vector<const Value*> values_;
  std::unordered_set<const Value*> owned_, defined_;
  std::unordered_map<const Value*, int> uses_;
};

}  // namespace

void Verify(const Graph& graph) { Verifier(graph, 0).Run(); }

}  // namespace sinter::graph
