// Tensors of the model that are made while they are written: quantized weights, and plain ones.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "convert/quantize.h"
#include "convert/weights.h"
#include "onnx/writer.h"

namespace sinter::convert {

// The sources of a quantized weight's tensors. The codes are to be written first: making them gives
// scales and zero points too, which are kept until they are written.
struct QuantizedSources {
  onnx::TensorSource codes, scales, zero_points;
};
QuantizedSources Quantized(const QuantFormat& format, const QuantRow& row, Matrix matrix);

// [rows, columns] in `dtype` (kF16 or kF32). Throws Error("convert") when written where a weight is
// not finite or does not fit f16. Random weights have the standard deviation `deviation`.
onnx::TensorSource Plain(DType dtype, Matrix matrix, double deviation);
// The same as [columns, rows]; reads the whole matrix at once.
onnx::TensorSource Transposed(DType dtype, Matrix matrix);

// `values` as bytes of `dtype`. Throws Error("convert") where one does not fit f16.
std::vector<std::byte> FloatBytes(DType dtype, std::span<const float> values,
                                  const std::string& name);

}  // namespace sinter::convert
