// Reader of one protobuf message's fields. Every accessor checks the field's wire type, which
// protozero only asserts.
#pragma once

#include <protozero/pbf_reader.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace sinter::onnx {

// Error thrown if the bytes are not a valid protobuf message of the expected kind. ModelReader
// turns it into an Error with the file's name.
class WireError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A cursor over the fields of a message. The bytes must outlive it. Any call may throw WireError or
// protozero::exception.
class Message {
 public:
  explicit Message(std::string_view bytes) : reader_(bytes.data(), bytes.size()) {}

  // Moves to the next field and returns false at the end. The previous field must have been read or
  // skipped.
  bool Next() { return reader_.next(); }
  uint32_t field() const { return reader_.tag(); }
  void Skip() { reader_.skip(); }

  int64_t Int64() {
    Want(protozero::pbf_wire_type::varint);
    return reader_.get_int64();
  }
  // Reads an enum or int32 field. A negative number takes 10 bytes on the wire.
  int32_t Int32() { return Narrow(Int64()); }
  float Float() {
    Want(protozero::pbf_wire_type::fixed32);
    return reader_.get_float();
  }
  std::string_view Bytes() {
    Want(protozero::pbf_wire_type::length_delimited);
    const protozero::data_view view = reader_.get_view();
    return {view.data(), view.size()};
  }
  Message Sub() { return Message(Bytes()); }

  // Appends the field's number or, if the field is packed, all its numbers. One repeated field may
  // appear in both forms.
  void AppendInt64(std::vector<int64_t>* out) {
    if (reader_.wire_type() != protozero::pbf_wire_type::length_delimited) {
      out->push_back(Int64());
      return;
    }
    for (const int64_t value : reader_.get_packed_int64()) out->push_back(value);
  }
  void AppendFloat(std::vector<float>* out) {
    AppendFixed(out, protozero::pbf_wire_type::fixed32, [this] { return reader_.get_float(); });
  }
  void AppendDouble(std::vector<double>* out) {
    AppendFixed(out, protozero::pbf_wire_type::fixed64, [this] { return reader_.get_double(); });
  }

 private:
  static_assert(std::endian::native == std::endian::little, "tensors are copied as they are");

  void Want(protozero::pbf_wire_type type) const {
    if (!reader_.has_wire_type(type))
      throw WireError("a field's wire type does not match its number");
  }
  static int32_t Narrow(int64_t value) {
    if (value != static_cast<int32_t>(value))
      throw WireError("a 32-bit field holds a larger number");
    return static_cast<int32_t>(value);
  }
  template <typename T, typename Get>
  void AppendFixed(std::vector<T>* out, protozero::pbf_wire_type type, Get get) {
    if (reader_.wire_type() != protozero::pbf_wire_type::length_delimited) {
      Want(type);
      out->push_back(get());
      return;
    }
    const std::string_view packed = Bytes();
    if (packed.size() % sizeof(T) != 0) throw WireError("packed numbers end in the middle of one");
    const size_t before = out->size();
    out->resize(before + packed.size() / sizeof(T));
    if (!packed.empty()) std::memcpy(out->data() + before, packed.data(), packed.size());
  }

  protozero::pbf_reader reader_;
};

}  // namespace sinter::onnx
