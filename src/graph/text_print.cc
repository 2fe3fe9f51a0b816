#include <fmt/format.h>

#include <cctype>
#include <unordered_set>

#include "graph/text.h"

namespace sinter::graph {
namespace {

constexpr int64_t kMaxPrinted = 64;

bool IsPlain(std::string_view name) {
  if (name.empty() || name == "_" || name.back() == ':') return false;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) &&
        std::string_view("_./:-").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string Name(std::string_view name) { return IsPlain(name) ? std::string(name) : Quoted(name); }

std::string Ref(const Value* value) {
  return value == nullptr ? "_" : fmt::format("%{}", Name(value->name()));
}

// Quotes a symbol that could be read as a number or as one of the signs.
std::string Symbol(const std::string& symbol) {
  const bool letter = std::isalpha(static_cast<unsigned char>(symbol[0])) || symbol[0] == '_';
  return letter ? Name(symbol) : Quoted(symbol);
}

std::string Type(DType dtype, const std::optional<Dims>& dims) {
  std::string out(dtype == DType::kUndefined ? "?" : DTypeName(dtype));
  if (!dims) return out + "[*]";
  out += '[';
  for (size_t i = 0; i < dims->size(); ++i) {
    const Dim& dim = (*dims)[i];
    if (i > 0) out += ", ";
    out += dim.known() ? std::to_string(dim.value) : dim.symbol.empty() ? "?" : Symbol(dim.symbol);
  }
  return out + ']';
}

// Returns ": TYPE", or "" if nothing is known about the value.
std::string TypeSuffix(const Value* value) {
  if (value == nullptr || (value->dtype == DType::kUndefined && !value->dims)) return "";
  return fmt::format(": {}", Type(value->dtype, value->dims));
}

std::string Data(const Tensor& tensor) {
  if (tensor.num_elements() > kMaxPrinted || DTypeBits(tensor.dtype) == 0) return "elided";
  if (!IsFloat(tensor.dtype)) return fmt::format("[{}]", fmt::join(tensor.ToInts(), ", "));
  if (tensor.dtype == DType::kF64) return fmt::format("[{}]", fmt::join(tensor.ToDoubles(), ", "));
  // The shortest text of a float is shorter than that of a double, and still exact.
  const std::vector<double> values = tensor.ToDoubles();
  return fmt::format("[{}]", fmt::join(std::vector<float>(values.begin(), values.end()), ", "));
}

std::string Literal(const Tensor& tensor) {
  return fmt::format("{} = {}", Type(tensor.dtype, Dims(tensor.shape.begin(), tensor.shape.end())),
                     Data(tensor));
}

class Printer {
 public:
  std::string Run(const Graph& graph) {
    PrintGraph(graph, nullptr, 0);
    return out_ + "\n";
  }

 private:
  void PrintGraph(const Graph& graph, const Graph* parent, int indent) {
    const std::string pad(2 * static_cast<size_t>(indent) + 2, ' ');
    out_ += "graph";
    if (!graph.name.empty()) out_ += fmt::format(" {}", Name(graph.name));
    out_ += " {\n";
    if (parent == nullptr || parent->opsets != graph.opsets) {
      // Without this line a subgraph has its parent's.
      if (parent != nullptr && graph.opsets.empty()) out_ += fmt::format("{}opset _\n", pad);
      for (const auto& [domain, version] : graph.opsets) {
        out_ +=
            fmt::format("{}opset {} {}\n", pad, Name(domain.empty() ? "ai.onnx" : domain), version);
      }
    }
    std::unordered_set<const Value*> done;
    for (const Value* value : graph.inputs()) {
      out_ += fmt::format("{}input {}{}", pad, Ref(value), TypeSuffix(value));
      if (value->constant) out_ += " = " + Data(*value->constant);
      out_ += '\n';
      done.insert(value);
    }
    for (const Value* value : graph.captures()) {
      out_ += fmt::format("{}capture {}{}\n", pad, Ref(value), TypeSuffix(value));
      done.insert(value);
    }
    for (const Value* value : graph.values()) {
      if (value->producer() != nullptr || done.contains(value)) continue;
      if (value->constant) {
        out_ += fmt::format("{}const {}: {}\n", pad, Ref(value), Literal(*value->constant));
      } else {
        out_ += fmt::format("{}value {}{}\n", pad, Ref(value), TypeSuffix(value));
      }
    }
    for (const auto& node : graph.nodes()) {
      out_ += pad;
      PrintNode(graph, *node, indent);
    }
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      out_ += fmt::format("{}{}", i == 0 ? pad + "return " : ", ", Ref(graph.outputs()[i]));
    }
    if (!graph.outputs().empty()) out_ += '\n';
    out_ += std::string(2 * static_cast<size_t>(indent), ' ') + "}";
  }

  void PrintNode(const Graph& graph, const Node& node, int indent) {
    std::vector<std::string> outputs, inputs;
    for (const Value* value : node.outputs()) outputs.push_back(Ref(value) + TypeSuffix(value));
    for (const Value* value : node.inputs()) inputs.push_back(Ref(value));
    out_ += fmt::format(
        "{}{}{}", fmt::join(outputs, ", "), outputs.empty() ? "" : " = ",
        Name(fmt::format("{}::{}", node.domain().empty() ? "ai.onnx" : node.domain(), node.op())));
    if (!node.name().empty()) out_ += fmt::format(" @{}", Name(node.name()));
    out_ += fmt::format(" ({})", fmt::join(inputs, ", "));
    if (!node.attributes.empty()) {
      std::string_view separator = " {";
      for (const auto& [name, value] : node.attributes) {
        out_ += fmt::format("{}{} = ", separator, Name(name));
        PrintAttribute(graph, value, indent);
        separator = ", ";
      }
      out_ += '}';
    }
    out_ += '\n';
  }

  void PrintAttribute(const Graph& graph, const Attribute& attribute, int indent) {
    if (const auto* number = std::get_if<int64_t>(&attribute)) {
      out_ += std::to_string(*number);
    } else if (const auto* number = std::get_if<float>(&attribute)) {
      out_ += fmt::format("{}f", *number);
    } else if (const auto* text = std::get_if<std::string>(&attribute)) {
      out_ += Quoted(*text);
    } else if (const auto* tensor = std::get_if<Tensor>(&attribute)) {
      out_ += Literal(*tensor);
    } else if (const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
      PrintGraph(**subgraph, &graph, indent + 1);
    } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute)) {
      out_ += fmt::format("ints[{}]", fmt::join(*ints, ", "));
    } else if (const auto* floats = std::get_if<std::vector<float>>(&attribute)) {
      out_ += fmt::format("floats[{}]", fmt::join(*floats, ", "));
    } else if (const auto* texts = std::get_if<std::vector<std::string>>(&attribute)) {
      std::vector<std::string> quoted;
      for (const std::string& text : *texts) quoted.push_back(Quoted(text));
      out_ += fmt::format("strings[{}]", fmt::join(quoted, ", "));
    } else {
      std::vector<std::string> literals;
      for (const Tensor& tensor : std::get<std::vector<Tensor>>(attribute))
        literals.push_back(Literal(tensor));
      out_ += fmt::format("tensors[{}]", fmt::join(literals, ", "));
    }
  }

  std::string out_;
};

}  // namespace

std::string Print(const Graph& graph) { return Printer().Run(graph); }

}  // namespace sinter::graph
