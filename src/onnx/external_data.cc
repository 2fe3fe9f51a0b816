#include "onnx/external_data.h"

#include <algorithm>
#include <charconv>

namespace sinter::onnx {
namespace {

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

ExternalData::Bytes ExternalData::Get(std::string_view name, const ExternalLocation& external,
                                      uint64_t want_bytes) {
  const std::shared_ptr<const MappedFile>& file = Open(name, external.location);
  const auto number = [&](std::string_view key, std::optional<std::string_view> text,
                          uint64_t fallback) {
    if (!text) return fallback;
    const std::optional<uint64_t> value = ParseNumber(*text);
    if (!value) {
      source_.Fail("tensor '{}': {} in '{}': got '{}', want a number >= 0", name, key,
                   external.location, EscapeName(*text));
    }
    return *value;
  };
  const uint64_t offset = number("offset", external.offset, 0);
  const uint64_t length = number("length", external.length, want_bytes);
  if (length != want_bytes) {
    source_.Fail("tensor '{}': length in '{}': got {} bytes, want {} by type and shape", name,
                 external.location, length, want_bytes);
  }
  const uint64_t size = file->bytes().size();
  if (offset > size || length > size - offset) {
    source_.Fail("tensor '{}': file '{}' is too short: got {} bytes, want {} bytes at offset {}",
                 name, external.location, size, length, offset);
  }
  return {file->bytes().subspan(offset, length), file};
}

const std::shared_ptr<const MappedFile>& ExternalData::Open(std::string_view name,
                                                            std::string_view location) {
  if (const auto found = files_.find(location); found != files_.end()) return found->second;
  // Symbolic links inside the folder may point outside of it, because download caches store their
  // files that way. Only the location itself is checked.
  const std::filesystem::path path(location);
  const bool inside =
      !path.empty() && path.is_relative() && IsPrintableName(location) &&
      std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
  if (!inside) {
    source_.Fail(
        "tensor '{}': location of external data: got '{}', want a file in the model's folder", name,
        EscapeName(location));
  }
  if (from_ == nullptr) {
    source_.Fail("tensor '{}': got external data in '{}', want a model that is read from a folder",
                 name, location);
  }
  try {
    return files_.emplace(location, from_->Map(path.string())).first->second;
  } catch (const Error& e) {
    source_.Fail("tensor '{}': external data: {}", name, e.what());
  }
}

}  // namespace sinter::onnx
