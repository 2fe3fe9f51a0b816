#include "onnx/declaration.h"

#include <string>
#include <utility>

#include "onnx/proto.h"
#include "onnx/tensor_reader.h"
#include "onnx/wire.h"

namespace sinter::onnx {
namespace {

using graph::Dim;
using graph::Dims;

Dim ParseDim(Message m, std::string_view name, const Source& source) {
  Dim dim;
  while (m.Next()) {
    switch (m.field()) {
      case proto::dim::kValue: {
        const int64_t value = m.Int64();
        if (value < 0) source.Fail("shape of value '{}': got dimension {}, want >= 0", name, value);
        dim = Dim(value);
        break;
      }
      case proto::dim::kParam:
        dim = Dim(std::string(source.Checked(m.Bytes())));
        break;
      default:
        m.Skip();
    }
  }
  return dim;
}

void ParseTensorType(Message m, const Source& source, Declaration* declaration) {
  while (m.Next()) {
    switch (m.field()) {
      case proto::tensor_type::kElemType: {
        const int32_t type = m.Int32();
        if (type != 0 && !TensorReader::Supports(type)) {
          source.Fail("type of value '{}': got {}, want a number or bool of 4 to 64 bits",
                      declaration->name, proto::DataTypeName(type));
        }
        declaration->dtype = static_cast<DType>(type);
        break;
      }
      case proto::tensor_type::kShape: {
        Dims dims;
        Message shape = m.Sub();
        while (shape.Next()) {
          if (shape.field() == proto::shape::kDim) {
            dims.push_back(ParseDim(shape.Sub(), declaration->name, source));
          } else {
            shape.Skip();
          }
        }
        declaration->dims = std::move(dims);
        break;
      }
      default:
        m.Skip();
    }
  }
}

void ParseType(std::string_view bytes, const Source& source, Declaration* declaration) {
  const auto want_tensor = [&](std::string_view got) {
    source.Fail("type of value '{}': got {}, want a tensor", declaration->name, got);
  };
  Message m(bytes);
  while (m.Next()) {
    switch (m.field()) {
      case proto::type::kTensor:
        ParseTensorType(m.Sub(), source, declaration);
        break;
      case proto::type::kSequence:
        want_tensor("a sequence");
        break;
      case proto::type::kMap:
        want_tensor("a map");
        break;
      case proto::type::kOpaque:
        want_tensor("an opaque type");
        break;
      case proto::type::kSparseTensor:
        want_tensor("a sparse tensor");
        break;
      case proto::type::kOptional:
        want_tensor("an optional");
        break;
      default:
        m.Skip();
    }
  }
}

}  // namespace

Declaration ParseDeclaration(std::string_view message, const Source& source) {
  Declaration declaration;
  std::optional<std::string_view> type;
  Message m(message);
  while (m.Next()) {
    switch (m.field()) {
      case proto::value_info::kName:
        declaration.name = source.Checked(m.Bytes());
        break;
      case proto::value_info::kType:
        type = m.Bytes();
        break;
      default:
        m.Skip();
    }
  }
  if (type) ParseType(*type, source, &declaration);
  return declaration;
}

void Declare(const Declaration& declared, const Source& source, graph::Value* value) {
  if (declared.dtype != DType::kUndefined) {
    if (value->dtype != DType::kUndefined && value->dtype != declared.dtype) {
      source.Fail("type of value '{}': got {}, want {} as declared", declared.name,
                  DTypeName(value->dtype), DTypeName(declared.dtype));
    }
    value->dtype = declared.dtype;
  }
  if (!value->dims) value->dims = declared.dims;
}

}  // namespace sinter::onnx
