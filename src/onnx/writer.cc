#include "onnx/writer.h"

#include <protozero/pbf_writer.hpp>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <system_error>

#include "base/check.h"
#include "base/error.h"
#include "onnx/proto.h"

namespace sinter::onnx {
namespace {

using graph::Attribute;
using graph::Dims;
using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::Value;
using protozero::pbf_writer;

// Alignment of tensors in the external file: one cache line.
constexpr uint64_t kAlignmentBytes = 64;
constexpr int64_t kIrVersion = 10;

// A file that gets its name only when it is complete; until then it has the suffix ".part".
class NewFile {
 public:
  explicit NewFile(std::filesystem::path path)
      : path_(std::move(path)),
        partial_(path_.string() + ".part"),
        stream_(partial_, std::ios::binary) {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    std::error_code ignored;
    if (!done_) std::filesystem::remove(partial_, ignored);
  }

  // Reports a full disk immediately, because producing the remaining bytes may take minutes.
  void Write(std::string_view bytes) {
    errno = EIO;  // For failures that do not set errno.
    if (!stream_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
      Fail(std::error_code(errno, std::generic_category()));
    }
    size_ += bytes.size();
  }
  uint64_t size() const { return size_; }

  // Flushes the file under its temporary name. When several files are written, all are closed
  // before the first is renamed.
  void Close() {
    errno = EIO;  // For failures that do not set errno.
    stream_.close();
    if (!stream_) Fail(std::error_code(errno, std::generic_category()));
  }
  void Rename() {
    std::error_code error;
    std::filesystem::rename(partial_, path_, error);
    if (error) Fail(error);
    done_ = true;
  }

 private:
  [[noreturn]] void Fail(std::error_code error) const {
    throw Error("onnx", "cannot write '{}': {}", path_.string(), error.message());
  }

  std::filesystem::path path_, partial_;
  std::ofstream stream_;
  uint64_t size_ = 0;
  bool done_ = false;
};

class ModelWriter {
 public:
  // A null `external` puts every tensor into the model; `options` then must have no sources.
  // `options` and `external` must outlive the writer.
  ModelWriter(std::string external_name, const WriteOptions& options, NewFile* external)
      : external_name_(std::move(external_name)),
        threshold_(options.external_threshold_bytes),
        sources_(options.sources),
        external_(external) {}

  std::string Write(const Graph& graph) {
    pbf_writer model(bytes_);
    model.add_int64(proto::model::kIrVersion, kIrVersion);
    model.add_string(proto::model::kProducerName, "sinter");
    for (const auto& [domain, version] : graph.opsets) {
      pbf_writer opset(model, proto::model::kOpsetImport);
      opset.add_string(proto::opset::kDomain, domain);
      opset.add_int64(proto::opset::kVersion, version);
    }
    WriteGraph(graph, pbf_writer(model, proto::model::kGraph));
    return std::move(bytes_);
  }

 private:
  void WriteGraph(const Graph& graph, pbf_writer out) {
    out.add_string(proto::graph::kName, graph.name);
    for (const auto& node : graph.nodes()) WriteNode(*node, pbf_writer(out, proto::graph::kNode));
    const auto& inputs = graph.inputs();
    for (const Value* value : graph.values()) {
      const bool is_input = std::find(inputs.begin(), inputs.end(), value) != inputs.end();
      if (value->constant && value->producer() == nullptr && !is_input) {
        WriteTensor(*value->constant, value->name(), threshold_,
                    pbf_writer(out, proto::graph::kInitializer));
      }
    }
    for (const Value* value : inputs) WriteValueInfo(*value, pbf_writer(out, proto::graph::kInput));
    for (const Value* value : graph.outputs())
      WriteValueInfo(*value, pbf_writer(out, proto::graph::kOutput));
    for (const Value* value : graph.values()) {
      const bool declared = value->dtype != DType::kUndefined || value->dims;
      if (value->producer() != nullptr && !value->is_graph_output() && declared) {
        WriteValueInfo(*value, pbf_writer(out, proto::graph::kValueInfo));
      }
    }
  }

  void WriteNode(const Node& node, pbf_writer out) {
    for (const Value* value : node.inputs()) {
      out.add_string(proto::node::kInput, value == nullptr ? "" : value->name());
    }
    for (const Value* value : node.outputs()) {
      out.add_string(proto::node::kOutput, value == nullptr ? "" : value->name());
    }
    if (!node.name().empty()) out.add_string(proto::node::kName, node.name());
    out.add_string(proto::node::kOpType, node.op());
    if (!node.domain().empty()) out.add_string(proto::node::kDomain, node.domain());
    for (const auto& [name, attribute] : node.attributes) {
      pbf_writer writer(out, proto::node::kAttribute);
      writer.add_string(proto::attribute::kName, name);
      std::visit([&](const auto& value) { WriteAttribute(value, writer); }, attribute);
    }
  }

  static void WriteType(proto::AttributeType type, pbf_writer& out) {
    out.add_enum(proto::attribute::kType, static_cast<int32_t>(type));
  }
  void WriteAttribute(int64_t value, pbf_writer& out) {
    WriteType(proto::AttributeType::kInt, out);
    out.add_int64(proto::attribute::kInt, value);
  }
  void WriteAttribute(float value, pbf_writer& out) {
    WriteType(proto::AttributeType::kFloat, out);
    out.add_float(proto::attribute::kFloat, value);
  }
  void WriteAttribute(const std::string& value, pbf_writer& out) {
    WriteType(proto::AttributeType::kString, out);
    out.add_bytes(proto::attribute::kString, value);
  }
  void WriteAttribute(const Tensor& value, pbf_writer& out) {
    WriteType(proto::AttributeType::kTensor, out);
    WriteTensor(value, "", kInside, pbf_writer(out, proto::attribute::kTensor));
  }
  void WriteAttribute(const std::shared_ptr<Graph>& value, pbf_writer& out) {
    SINTER_CHECK(value != nullptr);
    WriteType(proto::AttributeType::kGraph, out);
    WriteGraph(*value, pbf_writer(out, proto::attribute::kGraph));
  }
  // Lists of numbers are written unpacked, because onnx.proto does not declare them packed.
  void WriteAttribute(const std::vector<int64_t>& values, pbf_writer& out) {
    WriteType(proto::AttributeType::kInts, out);
    for (const int64_t value : values) out.add_int64(proto::attribute::kInts, value);
  }
  void WriteAttribute(const std::vector<float>& values, pbf_writer& out) {
    WriteType(proto::AttributeType::kFloats, out);
    for (const float value : values) out.add_float(proto::attribute::kFloats, value);
  }
  void WriteAttribute(const std::vector<std::string>& values, pbf_writer& out) {
    WriteType(proto::AttributeType::kStrings, out);
    for (const std::string& value : values) out.add_bytes(proto::attribute::kStrings, value);
  }
  void WriteAttribute(const std::vector<Tensor>& values, pbf_writer& out) {
    WriteType(proto::AttributeType::kTensors, out);
    for (const Tensor& value : values)
      WriteTensor(value, "", kInside, pbf_writer(out, proto::attribute::kTensors));
  }

  void WriteTensor(const Tensor& tensor, const std::string& name, size_t threshold,
                   pbf_writer out) {
    for (const int64_t dim : tensor.shape) out.add_int64(proto::tensor::kDims, dim);
    out.add_int32(proto::tensor::kDataType, static_cast<int32_t>(tensor.dtype));
    if (!name.empty()) out.add_string(proto::tensor::kName, name);
    const auto source = sources_.find(name);
    if (source != sources_.end() && threshold != kInside) {
      SINTER_CHECK(tensor.bytes.empty(), "tensor '{}' has bytes and a source of them", name);
      WriteLocation(DTypeBytes(tensor.dtype, static_cast<size_t>(tensor.num_elements())), out);
      WriteSource(source->second, tensor, name);
      return;
    }
    const std::string_view data(reinterpret_cast<const char*>(tensor.bytes.data()),
                                tensor.bytes.size());
    if (external_ == nullptr || data.size() < threshold) {
      if (bytes_.size() + data.size() > kMaxInsideBytes) {
        throw Error(
            "onnx",
            "tensor '{}' of {} bytes: got a model file of more than {} bytes, want external data",
            name, data.size(), kMaxInsideBytes);
      }
      out.add_bytes(proto::tensor::kRawData, data.data(), data.size());
      return;
    }
    WriteLocation(data.size(), out);
    external_->Write(data);
  }

  // Pads the external file to the alignment and records that the tensor is the next `length` bytes.
  void WriteLocation(uint64_t length, pbf_writer& out) {
    external_->Write(std::string(
        (kAlignmentBytes - external_->size() % kAlignmentBytes) % kAlignmentBytes, '\0'));
    WriteEntry("location", external_name_, out);
    WriteEntry("offset", std::to_string(external_->size()), out);
    WriteEntry("length", std::to_string(length), out);
    out.add_enum(proto::tensor::kDataLocation, proto::kLocationExternal);
  }

  void WriteSource(const TensorSource& source, const Tensor& tensor, const std::string& name) {
    const uint64_t begin = external_->size();
    source([&](std::span<const std::byte> bytes) {
      external_->Write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    });
    const uint64_t want = DTypeBytes(tensor.dtype, static_cast<size_t>(tensor.num_elements()));
    SINTER_CHECK(external_->size() - begin == want, "tensor '{}': its source gave {} bytes, not {}",
                 name, external_->size() - begin, want);
  }

  static void WriteEntry(std::string_view key, const std::string& value, pbf_writer& tensor) {
    pbf_writer entry(tensor, proto::tensor::kExternalData);
    entry.add_string(proto::string_entry::kKey, std::string(key));
    entry.add_string(proto::string_entry::kValue, value);
  }

  void WriteValueInfo(const Value& value, pbf_writer out) {
    out.add_string(proto::value_info::kName, value.name());
    if (value.dtype == DType::kUndefined && !value.dims) return;
    pbf_writer type(out, proto::value_info::kType);
    pbf_writer tensor(type, proto::type::kTensor);
    tensor.add_int32(proto::tensor_type::kElemType, static_cast<int32_t>(value.dtype));
    if (value.dims) WriteShape(*value.dims, tensor);
  }

  // Writes empty messages with add_message, because protozero drops an empty message that is
  // written through a pbf_writer. An empty shape means a scalar, an empty dimension an unknown one.
  static void WriteShape(const Dims& dims, pbf_writer& type) {
    if (dims.empty()) {
      type.add_message(proto::tensor_type::kShape, std::string());
      return;
    }
    pbf_writer shape(type, proto::tensor_type::kShape);
    for (const graph::Dim& dim : dims) {
      if (!dim.known() && dim.symbol.empty()) {
        shape.add_message(proto::shape::kDim, std::string());
        continue;
      }
      pbf_writer writer(shape, proto::shape::kDim);
      if (dim.known()) {
        writer.add_int64(proto::dim::kValue, dim.value);
      } else {
        writer.add_string(proto::dim::kParam, dim.symbol);
      }
    }
  }

  static constexpr size_t kInside = std::numeric_limits<size_t>::max();
  // Upper bound on the model file when a tensor is added. It leaves 64 MiB for the nodes and names
  // that follow the tensor.
  static constexpr uint64_t kMaxInsideBytes = proto::kMaxMessageBytes - (64 << 20);

  std::string bytes_;
  std::string external_name_;
  size_t threshold_;
  const std::map<std::string, TensorSource, std::less<>>& sources_;
  NewFile* external_;
};

// Returns whether a constant of the graph or its subgraphs has at least `threshold` bytes.
bool HasConstantOf(const Graph& graph, size_t threshold) {
  for (const Value* value : graph.values()) {
    if (value->constant && value->constant->bytes.size() >= threshold) return true;
  }
  for (const auto& node : graph.nodes()) {
    for (const auto& [_, attribute] : node->attributes) {
      const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph != nullptr && *subgraph != nullptr && HasConstantOf(**subgraph, threshold))
        return true;
    }
  }
  return false;
}

}  // namespace

void WriteModel(const Graph& graph, const std::filesystem::path& model_onnx,
                const WriteOptions& options) {
  const std::filesystem::path name = options.external_file.empty()
                                         ? model_onnx.filename().string() + ".data"
                                         : options.external_file;
  if (name != name.filename() || name == ".." || name == "." || name == model_onnx.filename()) {
    throw Error("onnx", "external file: got '{}', want a file name other than the model's",
                name.string());
  }
  NewFile model(model_onnx);
  std::optional<NewFile> external;
  if (!options.sources.empty() || HasConstantOf(graph, options.external_threshold_bytes))
    external.emplace(model_onnx.parent_path() / name);
  model.Write(ModelWriter(name.string(), options, external ? &*external : nullptr).Write(graph));
  model.Close();
  if (external) {
    external->Close();
    external->Rename();
  }
  model.Rename();
}

std::string WriteModelBytes(const Graph& graph) {
  const WriteOptions inside = {.external_threshold_bytes = 0};
  return ModelWriter("", inside, nullptr).Write(graph);
}

}  // namespace sinter::onnx
