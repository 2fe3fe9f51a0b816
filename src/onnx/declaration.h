// ValueInfoProto: the type and shape that the file declares for a value.
#pragma once

#include <optional>
#include <string_view>

#include "graph/graph.h"
#include "onnx/source.h"

namespace sinter::onnx {

struct Declaration {
  std::string_view name;
  // kUndefined and absent where the file says nothing.
  DType dtype = DType::kUndefined;
  std::optional<graph::Dims> dims;
};

// Throws Error("onnx") for a type that is no tensor of numbers and for negative dimensions;
// WireError or protozero::exception where the bytes are damaged.
Declaration ParseDeclaration(std::string_view message, const Source& source);

// Gives a value the type and shape declared for it. A type that it has already must be the same,
// else Error("onnx"). A shape that it has stays: exporters declare wrong shapes for constants (ONNX
// Runtime GenAI's builder: a scalar for [1]).
void Declare(const Declaration& declared, const Source& source, graph::Value* value);

}  // namespace sinter::onnx
