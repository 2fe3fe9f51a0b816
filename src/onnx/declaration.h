// ValueInfoProto: the type and shape that the model file declares for a value.
#pragma once

#include <optional>
#include <string_view>

#include "graph/graph.h"
#include "onnx/source.h"

namespace sinter::onnx {

struct Declaration {
  std::string_view name;
  // `dtype` is kUndefined and `dims` is absent if the file does not give them.
  DType dtype = DType::kUndefined;
  std::optional<graph::Dims> dims;
};

// Parses a ValueInfoProto. Throws Error("onnx") for a type that is not a tensor of numbers or bools
// and for negative dimensions; throws WireError or protozero::exception if the bytes are damaged.
Declaration ParseDeclaration(std::string_view message, const Source& source);

// Gives `value` the declared type and shape. Throws Error("onnx") if the value already has another
// type. A shape that the value already has is kept, because exporters declare wrong shapes for
// constants (ONNX Runtime GenAI's builder declares a scalar for a tensor of shape [1]).
void Declare(const Declaration& declared, const Source& source, graph::Value* value);

}  // namespace sinter::onnx
