#include "graph/ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "graph/inference.h"

namespace sinter::graph {
namespace {

// Exclusive upper bound on the elements of an output. At 8 bytes each, 2^56 elements come near the
// limit of int64.
constexpr int64_t kMaxElements = int64_t{1} << 56;
// Upper bound on the elements of a list such as a shape, far above any real rank. It limits how
// many numbers of an untrusted model are multiplied.
constexpr int64_t kMaxListElements = 64;

struct Slot {
  std::string_view name;
  char mark = ' ';
};

std::vector<Slot> ParseSlots(std::string_view text) {
  std::vector<Slot> slots;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    Slot slot{text.substr(0, end)};
    if (std::string_view("?!*").find(slot.name.back()) != std::string_view::npos) {
      slot.mark = slot.name.back();
      slot.name.remove_suffix(1);
    }
    slots.push_back(slot);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return slots;
}

const std::unordered_map<std::string, std::vector<OpSpec>>& Table() {
  static const auto* table = [] {
    auto* out = new std::unordered_map<std::string, std::vector<OpSpec>>;
    for (auto group :
         {ElementwiseOps(), ShapeOps(), ReduceOps(), ContribOps(), AttentionOps(), FusedOps()}) {
      for (OpSpec& spec : group)
        (*out)[fmt::format("{}::{}", spec.domain, spec.name)].push_back(std::move(spec));
    }
    return out;
  }();
  return *table;
}

void CheckSlots(const Node& node, std::string_view what, std::string_view text,
                const std::vector<Value*>& values) {
  const std::vector<Slot> slots = ParseSlots(text);
  const bool variadic = !slots.empty() && slots.back().mark == '*';
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] == nullptr) continue;
    if (i >= slots.size() && !variadic) {
      throw Error("graph", "{}: got {} {} ('{}'), want at most {}", node.Describe(), what, i,
                  values[i]->name(), slots.size());
    }
    if (i < slots.size() && slots[i].mark == '!') {
      throw Error("graph", "{}: {} {} ({}): got '{}', want none: it is not implemented",
                  node.Describe(), what, i, slots[i].name, values[i]->name());
    }
  }
  for (size_t i = 0; i < std::max(slots.size(), variadic ? values.size() : 0); ++i) {
    const Slot& slot = slots[std::min(i, slots.size() - 1)];
    // Variadic outputs may be unused, so only the first one must be listed.
    const bool needed = slot.mark == ' ' || (slot.mark == '*' && (what == "input" || i == 0));
    if (needed && (i >= values.size() || (values[i] == nullptr && what == "input"))) {
      throw Error("graph", "{}: {} {} ({}) is missing", node.Describe(), what, i, slot.name);
    }
  }
}

std::string_view KindName(AttributeSpec::Kind kind) {
  switch (kind) {
    case AttributeSpec::Kind::kInt:
      return "int";
    case AttributeSpec::Kind::kFloat:
      return "float";
    case AttributeSpec::Kind::kString:
      return "string";
    case AttributeSpec::Kind::kTensor:
      return "tensor";
    case AttributeSpec::Kind::kGraph:
      return "graph";
    case AttributeSpec::Kind::kInts:
      return "ints";
    case AttributeSpec::Kind::kFloats:
      return "floats";
    case AttributeSpec::Kind::kStrings:
      return "strings";
  }
  return "";
}

bool HasKind(const Attribute& value, AttributeSpec::Kind kind) {
  switch (kind) {
    case AttributeSpec::Kind::kInt:
      return std::holds_alternative<int64_t>(value);
    case AttributeSpec::Kind::kFloat:
      return std::holds_alternative<float>(value);
    case AttributeSpec::Kind::kString:
      return std::holds_alternative<std::string>(value);
    case AttributeSpec::Kind::kTensor:
      return std::holds_alternative<Tensor>(value);
    case AttributeSpec::Kind::kGraph: {
      const auto* graph = std::get_if<std::shared_ptr<Graph>>(&value);
      return graph != nullptr && *graph != nullptr;
    }
    case AttributeSpec::Kind::kInts:
      return std::holds_alternative<std::vector<int64_t>>(value);
    case AttributeSpec::Kind::kFloats:
      return std::holds_alternative<std::vector<float>>(value);
    case AttributeSpec::Kind::kStrings:
      return std::holds_alternative<std::vector<std::string>>(value);
  }
  return false;
}

template <typename T, typename Allowed>
void CheckAllowed(const Node& node, std::string_view name, const T* value,
                  const std::vector<Allowed>& allowed) {
  if (allowed.empty() || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return;
  throw Error("graph", "{}: attribute '{}': got {}, want {}", node.Describe(), name, *value,
              fmt::join(allowed, " or "));
}

void CheckAttributes(const Node& node, const OpSpec& spec) {
  for (const auto& [name, value] : node.attributes) {
    const auto found =
        std::find_if(spec.attributes.begin(), spec.attributes.end(),
                     // clang 14 captures a structured binding only under a new name.
                     [&wanted = name](const AttributeSpec& a) { return a.name == wanted; });
    if (found == spec.attributes.end()) {
      throw Error("graph", "{}: attribute '{}' is not implemented", node.Describe(), name);
    }
    if (!HasKind(value, found->kind)) {
      throw Error("graph", "{}: attribute '{}' has the wrong kind, want {}", node.Describe(), name,
                  KindName(found->kind));
    }
    if (const auto* number = std::get_if<int64_t>(&value))
      CheckAllowed(node, name, number, found->ints);
    if (const auto* number = std::get_if<float>(&value))
      CheckAllowed(node, name, number, found->floats);
    if (const auto* text = std::get_if<std::string>(&value))
      CheckAllowed(node, name, text, found->strings);
    if (const auto* tensor = std::get_if<Tensor>(&value);
        tensor != nullptr && !tensor->has_all_bytes()) {
      throw Error("graph", "{}: attribute '{}': got {} bytes for {}{}", node.Describe(), name,
                  tensor->bytes.size(), DTypeName(tensor->dtype), ShapeText(tensor->shape));
    }
  }
  for (const AttributeSpec& attribute : spec.attributes) {
    if (attribute.required && node.Find(attribute.name) == nullptr) {
      throw Error("graph", "{}: attribute '{}' is missing", node.Describe(), attribute.name);
    }
  }
}

}  // namespace

std::string ShapeText(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

const OpSpec* FindOp(std::string_view domain, std::string_view name, int version) {
  const auto found = Table().find(fmt::format("{}::{}", domain, name));
  if (found == Table().end()) return nullptr;
  for (const OpSpec& spec : found->second) {
    if (version >= spec.min_version && version <= spec.max_version) return &spec;
  }
  return nullptr;
}

std::vector<const OpSpec*> AllOps() {
  std::vector<const OpSpec*> all;
  for (const auto& [name, specs] : Table()) {
    for (const OpSpec& spec : specs) all.push_back(&spec);
  }
  std::ranges::sort(all, {}, [](const OpSpec* spec) {
    return std::tuple(spec->domain, spec->name, spec->min_version);
  });
  return all;
}

const OpSpec& CheckNode(const Node& node) {
  const OpSpec* spec = FindOp(node.domain(), node.op(), node.version());
  if (spec == nullptr) {
    const auto found = Table().find(fmt::format("{}::{}", node.domain(), node.op()));
    if (found == Table().end())
      throw Error("graph", "{}: this operator is not implemented", node.Describe());
    int min_version = found->second[0].min_version, max_version = found->second[0].max_version;
    for (const OpSpec& other : found->second) {
      min_version = std::min(min_version, other.min_version);
      max_version = std::max(max_version, other.max_version);
    }
    throw Error("graph", "{}: this version is not implemented: got {}, want {} to {}",
                node.Describe(), node.version(), min_version, max_version);
  }
  CheckAttributes(node, *spec);
  CheckSlots(node, "input", spec->inputs, node.inputs());
  CheckSlots(node, "output", spec->outputs, node.outputs());
  return *spec;
}

bool CanInfer(const Node& node) {
  const OpSpec* spec = FindOp(node.domain(), node.op(), node.version());
  return spec != nullptr && spec->infer != nullptr &&
         std::all_of(node.inputs().begin(), node.inputs().end(), [](const Value* value) {
           return value == nullptr ||
                  (value->dtype != DType::kUndefined && value->has_static_shape());
         });
}

std::vector<TensorType> InferOutputs(const Node& node, std::span<const TensorType> inputs) {
  const OpSpec& spec = CheckNode(node);
  SINTER_CHECK(spec.infer != nullptr && inputs.size() == node.inputs().size(), "{}",
               node.Describe());
  Inference inference(node, spec, inputs);
  spec.infer(inference);
  return inference.Take();
}

std::vector<TensorType> InferOutputs(const Node& node) {
  std::vector<TensorType> inputs;
  for (const Value* value : node.inputs()) {
    TensorType& type = inputs.emplace_back();
    if (value == nullptr) continue;
    SINTER_CHECK(value->dtype != DType::kUndefined, "{}: input '{}'", node.Describe(),
                 value->name());
    type = {value->dtype, value->shape(), value->constant ? &*value->constant : nullptr};
    NumElements(type.shape);  // Throws Error if the size overflows.
  }
  return InferOutputs(node, inputs);
}

void InferNode(Node& node) {
  const std::vector<TensorType> types = InferOutputs(node);
  for (size_t i = 0; i < types.size(); ++i) {
    Value* value = node.output(i);
    if (value == nullptr) continue;
    if (value->dtype != DType::kUndefined && value->dtype != types[i].dtype) {
      throw Error("graph", "{}: output '{}': declared {}, but the operator gives {}",
                  node.Describe(), value->name(), DTypeName(value->dtype),
                  DTypeName(types[i].dtype));
    }
    value->dtype = types[i].dtype;
    value->set_shape(types[i].shape);
  }
}

bool Broadcast(const Shape& a, const Shape& b, Shape* out) {
  const size_t rank = std::max(a.size(), b.size());
  Shape shape(rank);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t x = i + a.size() < rank ? 1 : a[i + a.size() - rank];
    const int64_t y = i + b.size() < rank ? 1 : b[i + b.size() - rank];
    if (x != y && x != 1 && y != 1) return false;
    shape[i] = x == 1 ? y : x;
  }
  *out = std::move(shape);
  return true;
}

int64_t NormalizeAxis(const Node& node, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) {
    throw Error("graph", "{}: axis: got {}, want one of {} dimensions", node.Describe(), axis,
                rank);
  }
  return axis < 0 ? axis + rank : axis;
}

std::string Inference::InputName(size_t input) const {
  const std::vector<Slot> slots = ParseSlots(spec_.inputs);
  return fmt::format("input {} ({}, '{}')", input, slots[std::min(input, slots.size() - 1)].name,
                     node_.input(input)->name());
}

const Tensor& Inference::Constant(size_t input) const {
  if (inputs_[input].constant == nullptr) {
    throw DataDependentError(fmt::format(
        "{}: {}: is known only when the model runs, want a constant: a shape depends on it",
        node_.Describe(), InputName(input)));
  }
  return *inputs_[input].constant;
}

std::vector<int64_t> Inference::ConstantInts(size_t input) const {
  WantDType(input, kInts);
  if (rank(input) > 1 || NumElements(shape(input)) > kMaxListElements) {
    Fail("{}: got shape {}, want a list of at most {}", InputName(input), ShapeText(shape(input)),
         kMaxListElements);
  }
  return Constant(input).ToInts();
}

double Inference::ConstantDouble(size_t input) const {
  if (rank(input) > 1 || NumElements(shape(input)) != 1) {
    Fail("{}: got shape {}, want a scalar", InputName(input), ShapeText(shape(input)));
  }
  return Constant(input).ToDoubles()[0];
}

void Inference::WantDType(size_t input, std::initializer_list<DType> allowed) const {
  if (std::find(allowed.begin(), allowed.end(), dtype(input)) != allowed.end()) return;
  std::vector<std::string_view> names;
  for (const DType type : allowed) names.push_back(DTypeName(type));
  Fail("{}: got type {}, want {}", InputName(input), DTypeName(dtype(input)),
       fmt::join(names, " or "));
}

void Inference::WantSameDType(size_t input, size_t other) const {
  WantDType(input, {dtype(other)});
}

void Inference::WantRank(size_t input, int64_t want) const {
  if (rank(input) != want) {
    Fail("{}: got shape {}, want {} dimensions", InputName(input), ShapeText(shape(input)), want);
  }
}

void Inference::WantShape(size_t input, const Shape& want) const {
  if (shape(input) != want) {
    Fail("{}: got shape {}, want {}", InputName(input), ShapeText(shape(input)), ShapeText(want));
  }
}

std::vector<bool> Inference::AxisSet(const std::vector<int64_t>& axes, int64_t rank) const {
  std::vector<bool> set(rank, false);
  for (const int64_t axis : axes) {
    const int64_t at = Axis(axis, rank);
    if (set[at]) Fail("axes: got {} twice, want each axis once", axis);
    set[at] = true;
  }
  return set;
}

void Inference::Out(size_t output, DType dtype, Shape shape) {
  if (node_.output(output) == nullptr) return;
  int64_t elems = 0;
  try {
    elems = NumElements(shape);
  } catch (const Error&) {
    elems = kMaxElements;
  }
  if (elems >= kMaxElements)
    Fail("output {}: got shape {}, want fewer than 2^56 elements", output, ShapeText(shape));
  outputs_[output] = {dtype, std::move(shape), nullptr};
}

}  // namespace sinter::graph
