#include "graph/graph.h"

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"

namespace sinter::graph {
namespace {

template <typename T>
const T* Get(const Node& node, std::string_view name, std::string_view kind) {
  const Attribute* attribute = node.Find(name);
  if (attribute == nullptr) return nullptr;
  const T* value = std::get_if<T>(attribute);
  if (value == nullptr) {
    throw Error("graph", "{}: attribute '{}' has the wrong kind, want {}", node.Describe(), name,
                kind);
  }
  return value;
}

}  // namespace

bool Value::has_static_shape() const {
  return dims &&
         std::all_of(dims->begin(), dims->end(), [](const Dim& dim) { return dim.known(); });
}

Shape Value::shape() const {
  SINTER_CHECK(has_static_shape(), "value '{}'", name_);
  Shape shape;
  for (const Dim& dim : *dims) shape.push_back(dim.value);
  return shape;
}

void Value::SetConstant(Tensor tensor) {
  dtype = tensor.dtype;
  set_shape(tensor.shape);
  constant = std::move(tensor);
}

const Attribute* Node::Find(std::string_view name) const {
  const auto found = attributes.find(name);
  return found == attributes.end() ? nullptr : &found->second;
}

int64_t Node::Int(std::string_view name, int64_t fallback) const {
  const auto* value = Get<int64_t>(*this, name, "int");
  return value == nullptr ? fallback : *value;
}

float Node::Float(std::string_view name, float fallback) const {
  const auto* value = Get<float>(*this, name, "float");
  return value == nullptr ? fallback : *value;
}

std::string Node::String(std::string_view name, std::string_view fallback) const {
  const auto* value = Get<std::string>(*this, name, "string");
  return value == nullptr ? std::string(fallback) : *value;
}

std::vector<int64_t> Node::Ints(std::string_view name, const std::vector<int64_t>& fallback) const {
  const auto* value = Get<std::vector<int64_t>>(*this, name, "ints");
  return value == nullptr ? fallback : *value;
}

std::string Node::Describe() const {
  return fmt::format("node '{}' ({}::{}, version {})", name_, domain_.empty() ? "ai.onnx" : domain_,
                     op_, version_);
}

std::vector<std::string> CapturedNames(const Node& node) {
  std::vector<std::string> names;
  for (const auto& [_, attribute] : node.attributes) {
    const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
    if (subgraph == nullptr || *subgraph == nullptr) continue;
    for (const Value* value : (*subgraph)->captures()) names.push_back(value->name());
  }
  return names;
}

Node* OnlyUse(const Value* value) {
  if (value->is_graph_output() || value->uses().size() != 1) return nullptr;
  return value->graph_->IsCaptured(value) ? nullptr : value->uses()[0].first;
}

std::unique_ptr<Graph> Graph::Clone() const {
  auto clone = std::make_unique<Graph>();
  clone->name = name;
  clone->opsets = opsets;
  clone->next_name_ = next_name_;
  std::unordered_map<const Value*, Value*> twin = {{nullptr, nullptr}};
  for (const Value* value : order_) {
    Value* copy = clone->AddValue(value->name_, value->dtype, value->dims);
    copy->constant = value->constant;
    twin[value] = copy;
  }
  for (const Value* value : inputs_) clone->inputs_.push_back(twin.at(value));
  for (const Value* value : captures_) clone->captures_.push_back(twin.at(value));
  const auto twins = [&](const std::vector<Value*>& values) {
    std::vector<Value*> out;
    out.reserve(values.size());
    for (const Value* value : values) out.push_back(twin.at(value));
    return out;
  };
  for (const auto& node : nodes_) {
    Node* copy = clone->AddNode(node->name_, node->domain_, node->op_, twins(node->inputs_),
                                twins(node->outputs_));
    copy->version_ = node->version_;
    copy->attributes = node->attributes;
  }
  for (const Value* value : outputs_) clone->AddOutput(twin.at(value));
  return clone;
}

std::vector<Value*> Graph::values() const { return order_; }

Value* Graph::FindValue(std::string_view name) const {
  const auto found = values_by_name_.find(name);
  return found == values_by_name_.end() ? nullptr : found->second.get();
}

bool Graph::IsCaptured(const Value* value) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
    return std::any_of(
        node->attributes.begin(), node->attributes.end(), [&](const auto& attribute) {
          const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute.second);
          if (subgraph == nullptr || *subgraph == nullptr) return false;
          const auto& captures = (*subgraph)->captures_;
          return std::any_of(captures.begin(), captures.end(),
                             [&](const Value* c) { return c->name_ == value->name_; });
        });
  });
}

Value* Graph::AddValue(std::string_view name, DType dtype, std::optional<Dims> dims) {
  std::string unique(name);
  while (unique.empty() || values_by_name_.contains(unique)) {
    unique = fmt::format("{}{}{}", name.empty() ? "value" : name, '.', next_name_++);
  }
  auto value = std::make_unique<Value>();
  value->name_ = unique;
  value->graph_ = this;
  value->dtype = dtype;
  value->dims = std::move(dims);
  order_.push_back(value.get());
  return values_by_name_.emplace(std::move(unique), std::move(value)).first->second.get();
}

Value* Graph::AddInput(std::string_view name, DType dtype, std::optional<Dims> dims) {
  return inputs_.emplace_back(AddValue(name, dtype, std::move(dims)));
}

Value* Graph::AddConstant(std::string_view name, Tensor tensor) {
  Value* value = AddValue(name);
  value->SetConstant(std::move(tensor));
  return value;
}

Value* Graph::AddCapture(std::string_view name) {
  SINTER_CHECK(FindValue(name) == nullptr, "a capture must keep its name, and '{}' is taken", name);
  return captures_.emplace_back(AddValue(name));
}

void Graph::AddOutput(Value* value) {
  SINTER_CHECK(value != nullptr && value->graph_ == this);
  value->is_graph_output_ = true;
  outputs_.push_back(value);
}

void Graph::RemoveInput(Value* value) {
  const auto found = std::find(inputs_.begin(), inputs_.end(), value);
  SINTER_CHECK(found != inputs_.end(), "'{}' is no input", value->name_);
  SINTER_CHECK(value->uses_.empty() && !value->is_graph_output_ && !IsCaptured(value),
               "'{}' is read", value->name_);
  inputs_.erase(found);
  EraseValues({value});
}

Node* Graph::AddNode(std::string_view name, std::string_view domain, std::string_view op,
                     std::vector<Value*> inputs, std::vector<Value*> outputs, Node* before) {
  auto owned = std::make_unique<Node>();
  Node* node = owned.get();
  node->name_ = name;
  node->domain_ = domain == "ai.onnx" ? "" : domain;
  node->op_ = op;
  const auto opset = opsets.find(node->domain_);
  node->version_ = opset == opsets.end() ? 0 : opset->second;
  node->self_ = nodes_.insert(before == nullptr ? nodes_.end() : before->self_, std::move(owned));
  node->inputs_.resize(inputs.size());
  node->outputs_.resize(outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) SetInput(node, i, inputs[i]);
  for (size_t i = 0; i < outputs.size(); ++i) SetOutput(node, i, outputs[i]);
  return node;
}

void Graph::SetInput(Node* node, size_t index, Value* value) {
  SINTER_CHECK(value == nullptr || value->graph_ == this, "a value of another graph");
  if (index >= node->inputs_.size()) node->inputs_.resize(index + 1);
  if (Value* old = node->inputs_[index]) RemoveUse(old, node, static_cast<int>(index));
  node->inputs_[index] = value;
  if (value != nullptr) AddUse(value, node, static_cast<int>(index));
}

void Graph::SetOutput(Node* node, size_t index, Value* value) {
  if (index >= node->outputs_.size()) node->outputs_.resize(index + 1);
  if (Value* old = node->outputs_[index]) old->producer_ = nullptr;
  node->outputs_[index] = value;
  if (value == nullptr) return;
  SINTER_CHECK(value->graph_ == this, "a value of another graph");
  SINTER_CHECK(value->producer_ == nullptr, "value '{}' has a producer", value->name_);
  value->producer_ = node;
}

bool Graph::CanReplaceAllUses(const Value* from, const Value* to) const {
  if (!from->is_graph_output_ || from == to) return true;
  return !to->is_graph_output_ && std::find(inputs_.begin(), inputs_.end(), to) == inputs_.end() &&
         std::find(captures_.begin(), captures_.end(), to) == captures_.end();
}

void Graph::ReplaceAllUses(Value* from, Value* to) {
  if (from == to) return;
  SINTER_CHECK(CanReplaceAllUses(from, to), "'{}' cannot take the name of output '{}'", to->name_,
               from->name_);
  for (const auto& [node, index] : std::vector(from->uses_)) SetInput(node, index, to);
  RenameCaptures(from->name_, to->name_);
  if (!from->is_graph_output_) return;
  std::replace(outputs_.begin(), outputs_.end(), from, to);
  from->is_graph_output_ = false;
  to->is_graph_output_ = true;
  // No subgraph captures `from` any more, so only the captures of `to` have to follow the new
  // names.
  const std::string old_name = to->name_;
  SwapNames(from, to);
  RenameCaptures(old_name, to->name_);
}

void Graph::RemoveNode(Node* node) {
  std::vector<Value*> dead;
  for (Value* value : node->outputs_) {
    if (value == nullptr) continue;
    SINTER_CHECK(value->uses_.empty() && !value->is_graph_output_ && !IsCaptured(value),
                 "'{}' is read", value->name_);
    dead.push_back(value);
  }
  for (size_t i = 0; i < node->inputs_.size(); ++i) SetInput(node, i, nullptr);
  EraseValues(dead);
  nodes_.erase(node->self_);
}

void Graph::RemoveDead() {
  std::unordered_set<const Node*> live;
  std::unordered_set<const Value*> captured;
  std::vector<Node*> pending;
  const auto need = [&](const Value* value) {
    if (value != nullptr && value->producer_ != nullptr && live.insert(value->producer_).second) {
      pending.push_back(value->producer_);
    }
  };
  for (const Value* value : outputs_) need(value);
  while (!pending.empty()) {
    const Node* node = pending.back();
    pending.pop_back();
    for (const Value* value : node->inputs_) need(value);
    for (const std::string& name : CapturedNames(*node)) {
      const Value* value = FindValue(name);
      captured.insert(value);
      need(value);
    }
  }
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    Node* node = it->get();
    ++it;
    if (live.contains(node)) continue;
    for (size_t i = 0; i < node->inputs_.size(); ++i) SetInput(node, i, nullptr);
    for (Value* value : node->outputs_) {
      if (value != nullptr) value->producer_ = nullptr;
    }
    nodes_.erase(node->self_);
  }
  const std::unordered_set<const Value*> inputs(inputs_.begin(), inputs_.end());
  std::erase_if(captures_, [](const Value* value) {
    return value->uses_.empty() && !value->is_graph_output_;
  });
  std::vector<Value*> dead;
  for (Value* value : order_) {
    if (value->producer_ == nullptr && value->uses_.empty() && !value->is_graph_output_ &&
        !captured.contains(value) && !inputs.contains(value)) {
      dead.push_back(value);
    }
  }
  EraseValues(dead);
}

void Graph::SortTopologically() {
  std::unordered_map<const Node*, int> position;
  for (const auto& node : nodes_) position.emplace(node.get(), static_cast<int>(position.size()));
  std::vector<Node*> by_position;
  std::vector<int> missing(nodes_.size(), 0);
  std::vector<std::vector<int>> readers(nodes_.size());
  for (const auto& node : nodes_) {
    const int at = static_cast<int>(by_position.size());
    by_position.push_back(node.get());
    std::set<const Node*> producers;
    for (const Value* value : node->inputs_) {
      if (value != nullptr && value->producer_ != nullptr) producers.insert(value->producer_);
    }
    for (const std::string& captured : CapturedNames(*node)) {
      const Value* value = FindValue(captured);
      if (value != nullptr && value->producer_ != nullptr) producers.insert(value->producer_);
    }
    for (const Node* producer : producers) {
      readers[position.at(producer)].push_back(at);
      ++missing[at];
    }
  }
  // Takes the earliest ready node first, so that a sorted graph stays as it is.
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t i = 0; i < missing.size(); ++i) {
    if (missing[i] == 0) ready.push(static_cast<int>(i));
  }
  NodeList sorted;
  while (!ready.empty()) {
    const int at = ready.top();
    ready.pop();
    sorted.splice(sorted.end(), nodes_, by_position[at]->self_);
    for (const int reader : readers[at]) {
      if (--missing[reader] == 0) ready.push(reader);
    }
  }
  if (nodes_.empty()) {
    nodes_.swap(sorted);
    return;
  }
  // The nodes left over are on a cycle or depend on one. Following stuck producers from any of them
  // therefore leads to a node of a cycle.
  std::set<const Node*> seen;
  const Node* node = nodes_.front().get();
  const auto stuck_producer = [&](const Value* value) -> const Node* {
    const Node* producer = value == nullptr ? nullptr : value->producer_;
    return producer != nullptr && missing[position.at(producer)] > 0 ? producer : nullptr;
  };
  while (seen.insert(node).second) {
    const Node* next = nullptr;
    for (const Value* value : node->inputs_) next = next != nullptr ? next : stuck_producer(value);
    for (const std::string& captured : CapturedNames(*node)) {
      next = next != nullptr ? next : stuck_producer(FindValue(captured));
    }
    SINTER_CHECK(next != nullptr);
    node = next;
  }
  const std::string culprit = node->Describe();
  nodes_.splice(nodes_.begin(), sorted);
  throw Error("graph", "{}: depends on its own output, want a graph without cycles", culprit);
}

void Graph::AddUse(Value* value, Node* node, int index) { value->uses_.emplace_back(node, index); }

void Graph::RemoveUse(Value* value, Node* node, int index) {
  const auto found = std::find(value->uses_.begin(), value->uses_.end(), std::pair(node, index));
  SINTER_CHECK(found != value->uses_.end(), "'{}' lacks a use", value->name_);
  value->uses_.erase(found);
}

void Graph::SwapNames(Value* a, Value* b) {
  std::swap(values_by_name_.at(a->name_), values_by_name_.at(b->name_));
  std::swap(a->name_, b->name_);
}

void Graph::RenameCaptures(std::string_view from, std::string_view to) {
  for (const auto& node : nodes_) {
    for (auto& [_, attribute] : node->attributes) {
      auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph == nullptr || *subgraph == nullptr) continue;
      const auto& captures = (*subgraph)->captures_;
      if (std::none_of(captures.begin(), captures.end(),
                       [&](const Value* c) { return c->name_ == from; }))
        continue;
      std::shared_ptr<Graph> copy = (*subgraph)->Clone();
      Value* old = copy->FindValue(from);
      Value* target = copy->FindValue(to);
      if (target != nullptr && std::find(copy->captures_.begin(), copy->captures_.end(), target) ==
                                   copy->captures_.end()) {
        // A local value of that name shadows the outer one, so it gets another name.
        Value* aside = copy->AddValue(to);
        copy->SwapNames(aside, target);
        copy->RenameCaptures(aside->name_, target->name_);
        copy->EraseValues({aside});
        target = nullptr;
      }
      if (target == nullptr) {
        target = copy->AddCapture(to);
        target->dtype = old->dtype;
        target->dims = old->dims;
      }
      // ReplaceAllUses keeps the name of an output, which a capture cannot take. A branch's outputs
      // go by position, so their names do not matter here.
      for (const auto& [reader, index] : std::vector(old->uses_))
        copy->SetInput(reader, index, target);
      copy->RenameCaptures(from, to);
      if (old->is_graph_output_) {
        std::replace(copy->outputs_.begin(), copy->outputs_.end(), old, target);
        target->is_graph_output_ = true;
      }
      std::erase(copy->captures_, old);
      copy->EraseValues({old});
      *subgraph = std::move(copy);
    }
  }
}

void Graph::EraseValues(const std::vector<Value*>& values) {
  if (values.empty()) return;
  const std::unordered_set<const Value*> dead(values.begin(), values.end());
  std::erase_if(order_, [&](const Value* value) { return dead.contains(value); });
  for (const Value* value : values) values_by_name_.erase(values_by_name_.find(value->name_));
}

}  // namespace sinter::graph
