// TensorProto -> graph::Tensor.
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

// A TensorProto's fields; the views point into the model's bytes.
struct TensorFields {
  std::string_view name;
  int32_t data_type = 0;
  graph::Shape dims;
  std::optional<std::string_view> raw;
  std::vector<float> floats;
  std::vector<double> doubles;
  // int32_data, int64_data and uint64_data; the latter as two's complement.
  std::vector<int64_t> int32s, int64s, uint64s;
  bool has_strings = false;
  bool has_segment = false;
  bool external = false;
  ExternalLocation location;
};

// Throws WireError or protozero::exception.
TensorFields ParseTensor(std::string_view message);

class TensorReader {
 public:
  // `owner` keeps the model's bytes alive, so that raw data is not copied; where it is null, it is.
  // `external` must outlive the reader.
  TensorReader(Source source, std::shared_ptr<const void> owner, ExternalData* external)
      : source_(std::move(source)), owner_(std::move(owner)), external_(external) {}

  // Whether Sinter has the element type; strings, complex numbers and 8-bit floats have none.
  static bool Supports(int32_t data_type);

  // Throws Error("onnx") naming the tensor `name` where its type, dimensions and data do not fit
  // together.
  graph::Tensor Read(const TensorFields& fields, std::string_view name) const;

 private:
  Source source_;
  std::shared_ptr<const void> owner_;
  ExternalData* external_;
};

}  // namespace sinter::onnx
