// Tensors' bytes outside the model file: every file is mapped once and shared by its tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/mapped_file.h"
#include "onnx/source.h"

namespace sinter::onnx {

// TensorProto.external_data as it stands in the file.
struct ExternalLocation {
  std::string_view location;
  std::optional<std::string_view> offset, length;
};

class ExternalData {
 public:
  // Locations are relative to `folder`. Without a folder (a model that came as bytes), every
  // location is refused.
  ExternalData(Source source, std::optional<std::filesystem::path> folder)
      : source_(std::move(source)), folder_(std::move(folder)) {}

  struct Bytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
  };

  // The bytes of tensor `name`, which must be exactly `want_bytes`. Throws Error("onnx") naming
  // tensor and file where the location leaves the folder, the file is missing or too short, or
  // offset and length do not fit.
  Bytes Get(std::string_view name, const ExternalLocation& external, uint64_t want_bytes);

 private:
  const std::shared_ptr<const MappedFile>& Open(std::string_view name, std::string_view location);

  Source source_;
  std::optional<std::filesystem::path> folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>, std::less<>> files_;
};

}  // namespace sinter::onnx
