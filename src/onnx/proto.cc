#include "onnx/proto.h"

#include <fmt/format.h>

#include <iterator>

#include "base/dtype.h"

namespace sinter::onnx::proto {

std::string DataTypeName(int32_t data_type) {
  constexpr std::string_view kNames[] = {
      "undefined",      "float",    "uint8",        "int8",           "uint16",
      "int16",          "int32",    "int64",        "string",         "bool",
      "float16",        "double",   "uint32",       "uint64",         "complex64",
      "complex128",     "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
      "float8e5m2fnuz", "uint4",    "int4",         "float4e2m1",     "float8e8m0",
      "uint2",          "int2"};
  if (data_type < 0 || data_type >= static_cast<int32_t>(std::size(kNames))) {
    return fmt::format("unknown ({})", data_type);
  }
  return fmt::format("{} ({})", kNames[data_type], data_type);
}

}  // namespace sinter::onnx::proto
