// Test helpers: ONNX messages built field by field, including invalid ones that the writer would
// not produce.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <optional>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "onnx/proto.h"
#include "onnx/reader.h"

namespace sinter::onnx {

// A message under construction. Each call appends one field.
class Proto {
 public:
  Proto& Int(uint32_t field, int64_t value) {
    protozero::pbf_writer(bytes).add_int64(field, value);
    return *this;
  }
  Proto& Float(uint32_t field, float value) {
    protozero::pbf_writer(bytes).add_float(field, value);
    return *this;
  }
  Proto& Bytes(uint32_t field, std::string_view value) {
    protozero::pbf_writer(bytes).add_bytes(field, value.data(), value.size());
    return *this;
  }
  Proto& Sub(uint32_t field, const Proto& message) { return Bytes(field, message.bytes); }
  Proto& PackedInts(uint32_t field, const std::vector<int64_t>& values) {
    protozero::pbf_writer(bytes).add_packed_int64(field, values.begin(), values.end());
    return *this;
  }
  template <typename T>
  Proto& PackedFixed(uint32_t field, const std::vector<T>& values) {
    return Bytes(field, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }

  std::string bytes;
};

// A dimension of a declared shape: a number, a symbol, or "" for unknown.
struct TestDim {
  TestDim(int v) : value(v) {}           // NOLINT(google-explicit-constructor)
  TestDim(const char* s) : symbol(s) {}  // NOLINT(google-explicit-constructor)
  std::optional<int64_t> value;
  std::string symbol;
};

inline Proto TensorType(int type, const std::vector<TestDim>& dims) {
  Proto shape;
  for (const TestDim& dim : dims) {
    Proto message;
    if (dim.value) message.Int(proto::dim::kValue, *dim.value);
    if (!dim.symbol.empty()) message.Bytes(proto::dim::kParam, dim.symbol);
    shape.Sub(proto::shape::kDim, message);
  }
  return Proto().Int(proto::tensor_type::kElemType, type).Sub(proto::tensor_type::kShape, shape);
}

inline Proto ValueInfo(std::string_view name, int type, const std::vector<TestDim>& dims = {}) {
  return Proto()
      .Bytes(proto::value_info::kName, name)
      .Sub(proto::value_info::kType, Proto().Sub(proto::type::kTensor, TensorType(type, dims)));
}

inline Proto TensorHeader(std::string_view name, int type, std::initializer_list<int64_t> dims) {
  Proto tensor;
  for (const int64_t dim : dims) tensor.Int(proto::tensor::kDims, dim);
  tensor.Int(proto::tensor::kDataType, type);
  if (!name.empty()) tensor.Bytes(proto::tensor::kName, name);
  return tensor;
}

inline Proto RawTensor(std::string_view name, int type, std::initializer_list<int64_t> dims,
                       std::string_view data) {
  return TensorHeader(name, type, dims).Bytes(proto::tensor::kRawData, data);
}

inline Proto ExternalTensor(
    std::string_view name, int type, std::initializer_list<int64_t> dims,
    std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
  Proto tensor =
      TensorHeader(name, type, dims).Int(proto::tensor::kDataLocation, proto::kLocationExternal);
  for (const auto& [key, value] : entries) {
    tensor.Sub(
        proto::tensor::kExternalData,
        Proto().Bytes(proto::string_entry::kKey, key).Bytes(proto::string_entry::kValue, value));
  }
  return tensor;
}

inline Proto AttributeMessage(std::string_view name, proto::AttributeType type) {
  return Proto()
      .Bytes(proto::attribute::kName, name)
      .Int(proto::attribute::kType, static_cast<int>(type));
}

inline Proto NodeMessage(std::string_view op, std::initializer_list<std::string_view> inputs,
                         std::initializer_list<std::string_view> outputs,
                         std::initializer_list<Proto> attributes = {}) {
  Proto node =
      Proto().Bytes(proto::node::kOpType, op).Bytes(proto::node::kName, "the_" + std::string(op));
  for (const std::string_view input : inputs) node.Bytes(proto::node::kInput, input);
  for (const std::string_view output : outputs) node.Bytes(proto::node::kOutput, output);
  for (const Proto& attribute : attributes) node.Sub(proto::node::kAttribute, attribute);
  return node;
}

inline Proto Opset(std::string_view domain, int64_t version) {
  return Proto().Bytes(proto::opset::kDomain, domain).Int(proto::opset::kVersion, version);
}

inline Proto Model(const Proto& graph, int64_t ir_version = 10) {
  return Proto()
      .Int(proto::model::kIrVersion, ir_version)
      .Sub(proto::model::kOpsetImport, Opset("", 21))
      .Sub(proto::model::kGraph, graph);
}

// Returns the graph x: f32[1, n] -> Relu -> y, the base of most test models.
inline Proto ReluGraph() {
  return Proto()
      .Bytes(proto::graph::kName, "g")
      .Sub(proto::graph::kInput, ValueInfo("x", 1, {1, "n"}))
      .Sub(proto::graph::kNode, NodeMessage("Relu", {"x"}, {"y"}))
      .Sub(proto::graph::kOutput, ValueInfo("y", 1, {1, "n"}));
}

inline std::unique_ptr<graph::Graph> ReadBytes(
    const std::string& model, const std::optional<std::filesystem::path>& folder = {}) {
  return ReadModelBytes(std::as_bytes(std::span(model)), folder);
}

// Returns the message of the Error("onnx") that `call` throws, or "no error".
inline std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.area(), "onnx") << e.what();
    return e.what();
  }
  return "no error";
}

inline std::string ReadError(const Proto& model,
                             const std::optional<std::filesystem::path>& folder = {}) {
  return ErrorOf([&] { ReadBytes(model.bytes, folder); });
}

// A temporary folder, removed by the destructor.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = testing::TempDir() + "onnx_test_XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  std::filesystem::path Write(std::string_view name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace sinter::onnx
