// Tensor data outside the model file. Each file is mapped once and shared by its tensors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/file_source.h"
#include "onnx/source.h"

namespace sinter::onnx {

// Entries of TensorProto.external_data as the model file has them, not yet checked.
struct ExternalLocation {
  std::string_view location;
  std::optional<std::string_view> offset, length;
};

class ExternalData {
 public:
  // Takes locations as names of `from`. Without it (a model read from memory) every location is
  // refused.
  ExternalData(Source source, std::shared_ptr<const FileSource> from)
      : source_(std::move(source)), from_(std::move(from)) {}

  struct Bytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
  };

  // Returns the bytes of the tensor called `name`, which must be exactly `want_bytes`. Throws
  // Error("onnx") that names tensor and file if the location leaves the folder, if the file is
  // missing or too short, or if offset or length is not a number that fits.
  Bytes Get(std::string_view name, const ExternalLocation& external, uint64_t want_bytes);

 private:
  const std::shared_ptr<const MappedFile>& Open(std::string_view name, std::string_view location);

  Source source_;
  std::shared_ptr<const FileSource> from_;
  std::map<std::string, std::shared_ptr<const MappedFile>, std::less<>> files_;
};

}  // namespace sinter::onnx
