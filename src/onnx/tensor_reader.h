// Conversion of TensorProto to graph::Tensor.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/tensor.h"
#include "onnx/external_data.h"
#include "onnx/source.h"

namespace sinter::onnx {

// Fields of a TensorProto. The views point into the model's bytes.
struct TensorFields {
  std::string_view name;
  int32_t data_type = 0;
  graph::Shape dims;
  std::optional<std::string_view> raw;
  std::vector<float> floats;
  std::vector<double> doubles;
  // Contents of int32_data, int64_data and uint64_data. `uint64s` holds uint64 as two's complement.
  std::vector<int64_t> int32s, int64s, uint64s;
  bool has_strings = false;
  bool has_segment = false;
  bool external = false;
  ExternalLocation location;
};

// Parses a TensorProto. Throws WireError or protozero::exception if the bytes are damaged.
TensorFields ParseTensor(std::string_view message);

class TensorReader {
 public:
  // `owner` keeps the model's bytes alive, so that tensors can be views of raw data; a null owner
  // makes them copies. `external` must outlive the reader.
  TensorReader(Source source, std::shared_ptr<const void> owner, ExternalData* external)
      : source_(std::move(source)), owner_(std::move(owner)), external_(external) {}

  // Returns whether Sinter has the element type. Strings, complex numbers and 8-bit floats are not
  // supported.
  static bool Supports(int32_t data_type);

  // Returns the tensor. Throws Error("onnx") with the tensor's `name` if its type, dimensions and
  // data do not fit together.
  graph::Tensor Read(const TensorFields& fields, std::string_view name) const;

 private:
  Source source_;
  std::shared_ptr<const void> owner_;
  ExternalData* external_;
};

}  // namespace sinter::onnx
