#include "onnx/tensor_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "onnx/proto.h"
#include "onnx/wire.h"

namespace sinter::onnx {
namespace {

// Heap storage of one tensor.
class Storage {
 public:
  explicit Storage(size_t bytes) : bytes_(std::make_shared<std::vector<std::byte>>(bytes)) {}

  void Put(size_t offset, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(bytes_->data() + offset, from, bytes);
  }
  void MoveTo(graph::Tensor* tensor) {
    tensor->bytes = *bytes_;
    tensor->owner = std::move(bytes_);
  }

 private:
  std::shared_ptr<std::vector<std::byte>> bytes_;
};

// *_data field of TensorProto that holds the elements of a type, as documented in onnx.proto.
enum class Typed { kFloat, kDouble, kInt32, kInt64, kUint64 };

Typed TypedFieldOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return Typed::kFloat;
    case DType::kF64:
      return Typed::kDouble;
    case DType::kI64:
      return Typed::kInt64;
    case DType::kU32:
    case DType::kU64:
      return Typed::kUint64;
    default:
      return Typed::kInt32;
  }
}

// Range of the numbers in a type's *_data field. 16-bit floats are stored as their bits. Two
// elements of a 4-bit type share one number.
struct Range {
  int64_t low, high;
};

Range RangeOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return {0, 1};
    case DType::kI8:
      return {-128, 127};
    case DType::kI16:
      return {-32768, 32767};
    case DType::kI32:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    case DType::kU4:
    case DType::kI4:
    case DType::kU8:
      return {0, 255};
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16:
      return {0, 65535};
    case DType::kU32:
      return {0, std::numeric_limits<uint32_t>::max()};
    default:
      return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  }
}

}  // namespace

TensorFields ParseTensor(std::string_view message) {
  TensorFields fields;
  Message m(message);
  while (m.Next()) {
    switch (m.field()) {
      case proto::tensor::kDims:
        m.AppendInt64(&fields.dims);
        break;
      case proto::tensor::kDataType:
        fields.data_type = m.Int32();
        break;
      case proto::tensor::kSegment:
        fields.has_segment = true;
        m.Skip();
        break;
      case proto::tensor::kFloatData:
        m.AppendFloat(&fields.floats);
        break;
      case proto::tensor::kInt32Data:
        m.AppendInt64(&fields.int32s);
        break;
      case proto::tensor::kStringData:
        fields.has_strings = true;
        m.Skip();
        break;
      case proto::tensor::kInt64Data:
        m.AppendInt64(&fields.int64s);
        break;
      case proto::tensor::kName:
        fields.name = m.Bytes();
        break;
      case proto::tensor::kRawData:
        fields.raw = m.Bytes();
        break;
      case proto::tensor::kDoubleData:
        m.AppendDouble(&fields.doubles);
        break;
      case proto::tensor::kUint64Data:
        m.AppendInt64(&fields.uint64s);
        break;
      case proto::tensor::kDataLocation:
        fields.external = m.Int32() == proto::kLocationExternal;
        break;
      case proto::tensor::kExternalData: {
        std::string_view key, value;
        Message entry = m.Sub();
        while (entry.Next()) {
          switch (entry.field()) {
            case proto::string_entry::kKey:
              key = entry.Bytes();
              break;
            case proto::string_entry::kValue:
              value = entry.Bytes();
              break;
            default:
              entry.Skip();
          }
        }
        if (key == "location") fields.location.location = value;
        if (key == "offset") fields.location.offset = value;
        if (key == "length") fields.location.length = value;
        break;
      }
      default:
        m.Skip();
    }
  }
  return fields;
}

bool TensorReader::Supports(int32_t data_type) {
  return data_type > 0 && data_type <= std::numeric_limits<uint8_t>::max() &&
         DTypeBits(static_cast<DType>(data_type)) > 0;
}

graph::Tensor TensorReader::Read(const TensorFields& fields, std::string_view name) const {
  if (!Supports(fields.data_type)) {
    source_.Fail("tensor '{}': got element type {}, want a number or bool of 4 to 64 bits", name,
                 proto::DataTypeName(fields.data_type));
  }
  graph::Tensor tensor{.dtype = static_cast<DType>(fields.data_type), .shape = fields.dims};
  const auto fail = [&](const std::string& got_and_want) {
    source_.Fail("tensor '{}' ({}, [{}]): {}", name, DTypeName(tensor.dtype),
                 fmt::join(fields.dims, ", "), got_and_want);
  };
  // The bytes of 2^56 elements of 8 bytes fit into 64 bits, so products of sizes below cannot
  // overflow. No real file is that large.
  constexpr int64_t kMaxElems = int64_t{1} << 56;
  int64_t elems = 1;
  for (const int64_t dim : fields.dims) {
    if (dim < 0) fail(fmt::format("dimension: got {}, want >= 0", dim));
    if (__builtin_mul_overflow(elems, std::max<int64_t>(dim, 1), &elems) || elems > kMaxElems) {
      fail("size: got more than 2^56 elements, want fewer");
    }
  }
  if (std::find(fields.dims.begin(), fields.dims.end(), 0) != fields.dims.end()) elems = 0;
  // DTypeBytes would compute in size_t, which has 32 bits in a browser.
  const uint64_t want_bytes = (static_cast<uint64_t>(elems) * DTypeBits(tensor.dtype) + 7) / 8;

  const size_t typed = fields.floats.size() + fields.doubles.size() + fields.int32s.size() +
                       fields.int64s.size() + fields.uint64s.size();
  const bool has_typed = typed > 0 || fields.has_strings;
  if (fields.has_segment) fail("got a segment of a tensor, want whole tensors");
  if (int{fields.external} + int{fields.raw.has_value()} + int{has_typed} > 1) {
    fail("got data in several places, want one of external_data, raw_data and typed data");
  }

  if (fields.external) {
    ExternalData::Bytes data = external_->Get(name, fields.location, want_bytes);
    tensor.bytes = data.bytes;
    tensor.owner = std::move(data.owner);
  } else if (fields.raw) {
    if (fields.raw->size() != want_bytes) {
      fail(fmt::format("raw_data: got {} bytes, want {}", fields.raw->size(), want_bytes));
    }
    if (owner_ != nullptr) {
      tensor.bytes = std::as_bytes(std::span(*fields.raw));
      tensor.owner = owner_;
    } else {
      Storage storage(want_bytes);
      storage.Put(0, fields.raw->data(), want_bytes);
      storage.MoveTo(&tensor);
    }
  } else {
    const Typed field = TypedFieldOf(tensor.dtype);
    const std::vector<int64_t>& ints = field == Typed::kInt64    ? fields.int64s
                                       : field == Typed::kUint64 ? fields.uint64s
                                                                 : fields.int32s;
    const bool packed = DTypeBits(tensor.dtype) == 4;
    const uint64_t want = packed ? want_bytes : static_cast<uint64_t>(elems);
    const uint64_t got = field == Typed::kFloat    ? fields.floats.size()
                         : field == Typed::kDouble ? fields.doubles.size()
                                                   : ints.size();
    if (got != want || typed != got) {
      fail(fmt::format(
          "data: got {} numbers in the type's own field and {} in others, want {} and 0", got,
          typed - got, want));
    }
    // Storage is allocated only here, after the check that the file really holds as many numbers as
    // the shape declares.
    Storage storage(want_bytes);
    if (field == Typed::kFloat) {
      storage.Put(0, fields.floats.data(), want_bytes);
    } else if (field == Typed::kDouble) {
      storage.Put(0, fields.doubles.data(), want_bytes);
    } else {
      const Range range = RangeOf(tensor.dtype);
      const size_t bytes = packed ? 1 : DTypeBytes(tensor.dtype, 1);
      for (size_t i = 0; i < ints.size(); ++i) {
        if (ints[i] < range.low || ints[i] > range.high) {
          fail(fmt::format("data: got {}, want {} to {}", ints[i], range.low, range.high));
        }
        storage.Put(i * bytes, &ints[i], bytes);
      }
    }
    storage.MoveTo(&tensor);
  }
  if (tensor.dtype == DType::kBool) {
    const auto bad = std::find_if(tensor.bytes.begin(), tensor.bytes.end(),
                                  [](std::byte b) { return b > std::byte{1}; });
    if (bad != tensor.bytes.end())
      fail(fmt::format("data: got {}, want 0 or 1", std::to_integer<int>(*bad)));
  }
  return tensor;
}

}  // namespace sinter::onnx
