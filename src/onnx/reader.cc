#include "onnx/reader.h"

#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "onnx/declaration.h"
#include "onnx/fields.h"
#include "onnx/proto.h"
#include "onnx/source.h"
#include "onnx/tensor_reader.h"
#include "onnx/wire.h"

namespace sinter::onnx {
namespace {

using graph::Attribute;
using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::Value;

// Reading state of one graph, linked to that of the graph around it.
struct Scope {
  Graph* graph = nullptr;
  Scope* outer = nullptr;
  int depth = 0;
  // Producer of each name, for the error about a second producer of the same name.
  std::map<std::string_view, std::string> makers;
  // Constants that Sinter cannot hold, with the reason. They are an error only if something reads
  // them.
  std::map<std::string_view, std::string> refused;
};

class ModelReader {
 public:
  ModelReader(std::string source, std::shared_ptr<const FileSource> files,
              std::shared_ptr<const void> owner)
      : source_(std::move(source)),
        external_(source_, std::move(files)),
        tensors_(source_, std::move(owner), &external_) {}

  std::unique_ptr<Graph> Read(std::string_view model) {
    try {
      return ReadModelProto(model);
    } catch (const WireError& e) {
      source_.Fail("not a valid ONNX file: {}", e.what());
    } catch (const protozero::exception&) {
      source_.Fail("not a valid ONNX file: corrupt, incomplete, or a Git LFS pointer");
    }
  }

 private:
  std::unique_ptr<Graph> ReadModelProto(std::string_view bytes) {
    int64_t ir_version = 0;
    std::optional<std::string_view> graph;
    bool has_functions = false;
    bool has_training = false;
    Message m(bytes);
    while (m.Next()) {
      switch (m.field()) {
        case proto::model::kIrVersion:
          ir_version = m.Int64();
          break;
        case proto::model::kGraph:
          if (graph) source_.Fail("got several graphs, want one");
          graph = m.Bytes();
          break;
        case proto::model::kOpsetImport:
          ReadOpset(m.Sub());
          break;
        case proto::model::kFunctions:
          has_functions = true;
          m.Skip();
          break;
        case proto::model::kTrainingInfo:
          has_training = true;
          m.Skip();
          break;
        default:
          m.Skip();
      }
    }
    if (ir_version < proto::kMinIrVersion || ir_version > proto::kMaxIrVersion) {
      source_.Fail("IR version: got {}, want {} to {}", ir_version, proto::kMinIrVersion,
                   proto::kMaxIrVersion);
    }
    if (!graph) source_.Fail("got no graph, want one");
    if (has_functions)
      source_.Fail("got model-local functions, want a model with its functions inlined");
    if (has_training) source_.Fail("got training info, want a model for inference");
    Scope scope;
    return ReadGraph(*graph, &scope);
  }

  void ReadOpset(Message m) {
    std::string_view domain;
    int64_t version = 0;
    while (m.Next()) {
      switch (m.field()) {
        case proto::opset::kDomain:
          domain = source_.Checked(m.Bytes());
          break;
        case proto::opset::kVersion:
          version = m.Int64();
          break;
        default:
          m.Skip();
      }
    }
    if (domain == "ai.onnx") domain = "";
    if (version < 1 || version > std::numeric_limits<int>::max()) {
      source_.Fail("version of operator set '{}': got {}, want 1 or more", domain, version);
    }
    const auto [at, added] = opsets_.emplace(domain, static_cast<int>(version));
    if (!added && at->second != version) {
      source_.Fail("operator set '{}': got versions {} and {}, want one", domain, at->second,
                   version);
    }
  }

  std::unique_ptr<Graph> ReadGraph(std::string_view bytes, Scope* scope) {
    const GraphFields fields = ParseGraph(bytes);
    if (fields.has_sparse_initializer)
      source_.Fail("graph '{}': got a sparse initializer, want dense ones", fields.name);
    auto graph = std::make_unique<Graph>();
    scope->graph = graph.get();
    graph->name = source_.Checked(fields.name);
    graph->opsets = opsets_;

    // Creates all values first, because nodes may come in any order and a subgraph may read the
    // output of a later node.
    AddInitializers(fields, scope);
    AddInputs(fields, scope);
    std::vector<NodeFields> nodes;
    for (const std::string_view message : fields.nodes) {
      NodeFields node = ParseNode(message, source_);
      if (!opsets_.contains(std::string(node.domain))) {
        source_.Fail("{}: operator set '{}': got no version in the model, want one",
                     node.Describe(), node.domain);
      }
      if (IsConstantNode(node)) {
        AddConstantNode(node, scope);
        continue;
      }
      for (const std::string_view output : node.outputs) {
        if (!output.empty()) AddName(output, node.Describe(), scope);
      }
      nodes.push_back(std::move(node));
    }
    std::vector<Declaration> outputs;
    for (const std::string_view message : fields.outputs)
      outputs.push_back(ParseDeclaration(message, source_));
    for (const Declaration& output : outputs) {
      if (Value* value = graph->FindValue(output.name)) Declare(output, source_, value);
    }
    for (const std::string_view message : fields.value_infos) AddValueInfo(message, *graph);

    for (const NodeFields& node : nodes) AddNode(node, scope);
    std::unordered_set<const Value*> seen;
    for (const Declaration& output : outputs) {
      Value* value = Resolve(output.name, scope);
      if (value == nullptr)
        source_.Fail("output '{}' of graph '{}': got no node that produces it, want one",
                     output.name, fields.name);
      if (!seen.insert(value).second)
        source_.Fail("output '{}' of graph '{}': got it twice, want it once", output.name,
                     fields.name);
      Declare(output, source_, value);
      graph->AddOutput(value);
    }
    try {
      graph->SortTopologically();
    } catch (const Error& e) {
      source_.Fail("graph '{}' has a cycle: {}", fields.name, e.what());
    }
    return graph;
  }

  // Registers `maker` as the only producer of `name` in the graph. Fails if the name already has
  // one.
  void Claim(std::string_view name, std::string maker, Scope* scope) const {
    const auto [at, added] = scope->makers.emplace(source_.Checked(name), std::move(maker));
    if (!added) source_.Fail("value '{}': got {} and another source, want one", name, at->second);
  }

  Value* AddName(std::string_view name, std::string maker, Scope* scope) const {
    Claim(name, std::move(maker), scope);
    return scope->graph->AddValue(name);
  }

  void AddInitializers(const GraphFields& fields, Scope* scope) const {
    for (const std::string_view message : fields.initializers) {
      const TensorFields tensor = ParseTensor(message);
      if (tensor.name.empty()) source_.Fail("an initializer: got no name, want one");
      Claim(tensor.name, "an initializer", scope);
      AddConstant(tensor.name, tensor, scope);
    }
  }

  // Adds a constant whose name Claim() has registered.
  void AddConstant(std::string_view name, const TensorFields& tensor, Scope* scope) const {
    if (TensorReader::Supports(tensor.data_type)) {
      scope->graph->AddConstant(name, tensors_.Read(tensor, name));
    } else {
      scope->refused.emplace(name,
                             fmt::format("element type {}", proto::DataTypeName(tensor.data_type)));
    }
  }

  void AddInputs(const GraphFields& fields, Scope* scope) const {
    std::unordered_set<std::string_view> seen;
    for (const std::string_view message : fields.inputs) {
      const Declaration input = ParseDeclaration(message, source_);
      if (input.name.empty())
        source_.Fail("an input of graph '{}': got no name, want one", fields.name);
      if (!seen.insert(input.name).second)
        source_.Fail("input '{}': got it twice, want it once", input.name);
      // Before IR version 4 every initializer had to be an input too. From version 4 on, an
      // initializer of an input's name is the input's default value.
      if (Value* initializer = scope->graph->FindValue(input.name)) {
        Declare(input, source_, initializer);
        continue;
      }
      if (scope->refused.contains(input.name)) continue;
      if (input.dtype == DType::kUndefined && scope->depth == 0) {
        source_.Fail("input '{}': got no element type, want one", input.name);
      }
      Claim(input.name, "an input", scope);
      scope->graph->AddInput(input.name, input.dtype, input.dims);
    }
  }

  static bool IsConstantNode(const NodeFields& node) {
    return node.op == "Constant" && node.domain.empty();
  }

  void AddConstantNode(const NodeFields& node, Scope* scope) {
    if (!node.inputs.empty() || node.outputs.size() != 1 || node.outputs[0].empty() ||
        node.attributes.size() != 1) {
      source_.Fail("{}: got {} inputs, {} outputs and {} attributes, want none, one and one",
                   node.Describe(), node.inputs.size(), node.outputs.size(),
                   node.attributes.size());
    }
    const std::string_view name = node.outputs[0];
    Claim(name, node.Describe(), scope);
    const AttributeFields fields = ParseAttribute(node.attributes[0], node, source_);
    using Type = proto::AttributeType;
    const auto type = static_cast<Type>(fields.type);
    const auto is = [&](std::string_view key, Type want) {
      return fields.name == key && type == want;
    };
    if (is("value", Type::kTensor)) {
      AddConstant(name, ParseTensor(*fields.tensor), scope);
    } else if (is("value_int", Type::kInt)) {
      scope->graph->AddConstant(name, Tensor::FromInts(DType::kI64, {}, {&fields.int_value, 1}));
    } else if (is("value_ints", Type::kInts)) {
      scope->graph->AddConstant(
          name,
          Tensor::FromInts(DType::kI64, {static_cast<int64_t>(fields.ints.size())}, fields.ints));
    } else if (is("value_float", Type::kFloat)) {
      const double value = fields.float_value;
      scope->graph->AddConstant(name, Tensor::FromDoubles(DType::kF32, {}, {&value, 1}));
    } else if (is("value_floats", Type::kFloats)) {
      const std::vector<double> values(fields.floats.begin(), fields.floats.end());
      scope->graph->AddConstant(
          name, Tensor::FromDoubles(DType::kF32, {static_cast<int64_t>(values.size())}, values));
    } else {
      scope->refused.emplace(name,
                             fmt::format("attribute '{}' of kind {}", fields.name, fields.type));
    }
  }

  Attribute ReadAttribute(const AttributeFields& fields, const NodeFields& node, Scope* scope) {
    switch (static_cast<proto::AttributeType>(fields.type)) {
      case proto::AttributeType::kFloat:
        return fields.float_value;
      case proto::AttributeType::kInt:
        return fields.int_value;
      case proto::AttributeType::kString:
        return std::string(fields.string);
      case proto::AttributeType::kFloats:
        return fields.floats;
      case proto::AttributeType::kInts:
        return fields.ints;
      case proto::AttributeType::kStrings:
        return std::vector<std::string>(fields.strings.begin(), fields.strings.end());
      case proto::AttributeType::kTensor:
        return tensors_.Read(ParseTensor(*fields.tensor), fields.name);
      case proto::AttributeType::kTensors: {
        std::vector<Tensor> tensors;
        for (const std::string_view message : fields.tensors) {
          tensors.push_back(tensors_.Read(ParseTensor(message), fields.name));
        }
        return tensors;
      }
      case proto::AttributeType::kGraph: {
        Scope inner{.outer = scope, .depth = scope->depth + 1};
        if (inner.depth > kMaxSubgraphDepth) {
          source_.Fail("{}: subgraphs: got more than {} levels, want fewer", node.Describe(),
                       kMaxSubgraphDepth);
        }
        return std::shared_ptr<Graph>(ReadGraph(*fields.graph, &inner));
      }
      default:
        source_.Fail(
            "{}: attribute '{}': got kind {}, want a number, string, tensor, a list of these, or a "
            "graph",
            node.Describe(), fields.name, fields.type);
    }
  }

  void AddNode(const NodeFields& fields, Scope* scope) {
    std::vector<Value*> inputs, outputs;
    for (const std::string_view name : fields.inputs) {
      Value* value = name.empty() ? nullptr : Resolve(name, scope);
      if (value == nullptr && !name.empty()) {
        source_.Fail(
            "{}: input '{}': got nothing that produces it, want a node, input or initializer",
            fields.Describe(), name);
      }
      inputs.push_back(value);
    }
    for (const std::string_view name : fields.outputs) {
      outputs.push_back(name.empty() ? nullptr : scope->graph->FindValue(name));
    }
    Node* node = scope->graph->AddNode(fields.name, fields.domain, fields.op, std::move(inputs),
                                       std::move(outputs));
    for (const std::string_view message : fields.attributes) {
      const AttributeFields attribute = ParseAttribute(message, fields, source_);
      const auto [_, added] =
          node->attributes.emplace(attribute.name, ReadAttribute(attribute, fields, scope));
      if (!added)
        source_.Fail("{}: attribute '{}': got it twice, want it once", fields.Describe(),
                     attribute.name);
    }
  }

  // Returns the value that `name` refers to in the scope, or null if nothing produces it. Adds a
  // capture to every graph between the value's own and the scope's.
  Value* Resolve(std::string_view name, Scope* scope) const {
    if (Value* value = scope->graph->FindValue(name)) return value;
    if (const auto refused = scope->refused.find(name); refused != scope->refused.end()) {
      source_.Fail("constant '{}': got {}, want a tensor of numbers or bools", name,
                   refused->second);
    }
    if (scope->outer == nullptr) return nullptr;
    const Value* outer = Resolve(name, scope->outer);
    if (outer == nullptr) return nullptr;
    Value* capture = scope->graph->AddCapture(name);
    capture->dtype = outer->dtype;
    capture->dims = outer->dims;
    return capture;
  }

  // Ignores declarations of values that do not exist: exporters leave such declarations behind.
  void AddValueInfo(std::string_view message, const Graph& graph) const {
    const Declaration declared = ParseDeclaration(message, source_);
    if (Value* value = graph.FindValue(declared.name)) Declare(declared, source_, value);
  }

  Source source_;
  ExternalData external_;
  TensorReader tensors_;
  std::map<std::string, int> opsets_;
};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::unique_ptr<Graph> ReadModel(const std::filesystem::path& model_onnx) {
  return ReadModel(std::make_shared<FolderFiles>(model_onnx.parent_path()),
                   model_onnx.filename().string());
}

std::unique_ptr<Graph> ReadModel(const std::shared_ptr<const FileSource>& files,
                                 const std::string& name) {
  const std::shared_ptr<const MappedFile> file = files->Map(name);
  return ModelReader(files->PathOf(name), files, file).Read(AsText(file->bytes()));
}

std::unique_ptr<Graph> ReadModelBytes(std::span<const std::byte> bytes,
                                      const std::optional<std::filesystem::path>& folder,
                                      std::shared_ptr<const void> owner) {
  return ModelReader("model", folder ? std::make_shared<FolderFiles>(*folder) : nullptr,
                     std::move(owner))
      .Read(AsText(bytes));
}

}  // namespace sinter::onnx
