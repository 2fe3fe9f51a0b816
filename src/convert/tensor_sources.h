// Sources of tensors that are computed while the model is written: quantized and plain weights.
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

// The sources of a quantized weight's tensors. The codes must be written first, because computing
// them also gives the scales and zero points, which stay in memory until they are written.
struct QuantizedSources {
  onnx::TensorSource codes, scales, zero_points;
};
QuantizedSources Quantized(const QuantFormat& format, const QuantRow& row, Matrix matrix);

// Returns the source of the matrix as [rows, columns] in `dtype` (kF16 or kF32). Random weights
// have the standard deviation `deviation`. The source throws Error("convert") if a weight is not
// finite or does not fit f16.
onnx::TensorSource Plain(DType dtype, Matrix matrix, double deviation);
// Returns the source of the matrix as [columns, rows]. It reads the whole matrix at once. Random
// weights are not supported.
onnx::TensorSource Transposed(DType dtype, Matrix matrix);

// Returns `values` as bytes of `dtype`. Throws Error("convert"), which contains `name`, if a value
// is not finite or does not fit f16.
std::vector<std::byte> FloatBytes(DType dtype, std::span<const float> values,
                                  const std::string& name);

}  // namespace sinter::convert
