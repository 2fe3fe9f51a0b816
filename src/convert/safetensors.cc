#include "convert/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/mapped_file.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

// Upper bound on the header's size, as in the reference implementation.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr uint64_t kLengthBytes = 8;

struct TypeInfo {
  std::string_view name;
  DType dtype;
  uint64_t bytes;
};
constexpr TypeInfo kTypes[] = {
    {"BF16", DType::kBF16, 2},
    {"F16", DType::kF16, 2},
    {"F32", DType::kF32, 4},
    {"F64", DType::kF64, 8},
    {"U8", DType::kU8, 1},
    {"I8", DType::kI8, 1},
    {"U16", DType::kU16, 2},
    {"I16", DType::kI16, 2},
    {"U32", DType::kU32, 4},
    {"I32", DType::kI32, 4},
    {"U64", DType::kU64, 8},
    {"I64", DType::kI64, 8},
    {"BOOL", DType::kBool, 1},
    {"F8_E4M3", DType::kUndefined, 1},
    {"F8_E5M2", DType::kUndefined, 1},
};

class Reader {
 public:
  Reader(std::string name, std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : name_(std::move(name)), bytes_(bytes), owner_(std::move(owner)) {}

  CheckpointTensors Read() {
    uint64_t length = 0;
    if (bytes_.size() < kLengthBytes) {
      Fail("got {} bytes, want at least the {} of the header's length", bytes_.size(),
           kLengthBytes);
    }
    std::memcpy(&length, bytes_.data(), kLengthBytes);
    if (length > kMaxHeaderBytes || length > bytes_.size() - kLengthBytes) {
      Fail("header: got a length of {} bytes, want at most {} (is the file truncated?)", length,
           std::min(kMaxHeaderBytes, bytes_.size() - kLengthBytes));
    }
    data_ = bytes_.subspan(kLengthBytes + length);
    const nlohmann::json header = ParseJson(
        {reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes, length}, name_ + ": header");
    if (!header.is_object()) Fail("header: got {}, want an object", KindText(header));
    for (const auto& [name, entry] : header.items()) {
      if (name != "__metadata__") AddTensor(name, entry);
    }
    CheckLayout();
    return std::move(tensors_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("convert", "{}: {}", name_, fmt::format(format, std::forward<Args>(args)...));
  }

  void AddTensor(const std::string& name, const nlohmann::json& entry) {
    const std::string what = fmt::format("{}: tensor '{}'", name_, Excerpt(name));
    CheckpointTensor tensor;
    tensor.dtype_name = GetString(entry, "dtype", what);
    const auto* type =
        std::find_if(std::begin(kTypes), std::end(kTypes),
                     [&](const TypeInfo& info) { return info.name == tensor.dtype_name; });
    if (type == std::end(kTypes)) {
      Fail("tensor '{}': got type '{}', want a type of safetensors", name, tensor.dtype_name);
    }
    tensor.dtype = type->dtype;
    uint64_t want = type->bytes;
    for (const int64_t dim : GetInts(entry, "shape", what)) {
      if (dim < 0 || __builtin_mul_overflow(want, static_cast<uint64_t>(dim), &want)) {
        Fail("tensor '{}': got a dimension of {}, want a shape that fits the file", name, dim);
      }
      tensor.shape.push_back(dim);
    }
    const std::vector<int64_t> offsets = GetInts(entry, "data_offsets", what);
    if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < offsets[0]) {
      Fail("tensor '{}': data_offsets: got [{}], want its beginning and end", name,
           fmt::join(offsets, ", "));
    }
    const auto begin = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[1]);
    if (end > data_.size()) {
      Fail("tensor '{}': got an end at byte {}, want at most {} (is the file truncated?)", name,
           end, data_.size());
    }
    if (end - begin != want) {
      Fail("tensor '{}': got {} bytes, want {} for {} [{}]", name, end - begin, want,
           tensor.dtype_name, fmt::join(tensor.shape, ", "));
    }
    tensor.bytes = data_.subspan(begin, end - begin);
    tensor.owner = owner_;
    ranges_.push_back({begin, end, name});
    tensors_.emplace(name, std::move(tensor));
  }

  // Throws on overlaps and gaps between tensors. The format allows neither, so either means that
  // the header does not belong to this data.
  void CheckLayout() {
    std::sort(ranges_.begin(), ranges_.end());
    uint64_t at = 0;
    std::string before = "the header";
    for (const Range& range : ranges_) {
      if (range.begin != at) {
        Fail("tensor '{}': got a beginning at byte {}, want {}, where {} ends", range.name,
             range.begin, at, before);
      }
      at = range.end;
      before = fmt::format("'{}'", range.name);
    }
    if (at != data_.size()) {
      Fail("got {} bytes of data, want {}, where {} ends", data_.size(), at, before);
    }
  }

  struct Range {
    uint64_t begin, end;
    std::string name;
    auto operator<=>(const Range&) const = default;  // NOLINT(modernize-use-nullptr)
  };

  std::string name_;
  std::span<const std::byte> bytes_, data_;
  std::shared_ptr<const void> owner_;
  CheckpointTensors tensors_;
  std::vector<Range> ranges_;
};

}  // namespace

CheckpointTensors ReadSafetensors(const std::filesystem::path& file) {
  const std::shared_ptr<const MappedFile> mapped = MappedFile::Open(file);
  return Reader(file.string(), mapped->bytes(), mapped).Read();
}

CheckpointTensors ReadSafetensorsBytes(std::span<const std::byte> bytes) {
  return Reader("safetensors", bytes, nullptr).Read();
}

CheckpointTensors ReadCheckpoint(const std::filesystem::path& folder) {
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  if (!IsPresent(index)) {
    const std::filesystem::path file = folder / "model.safetensors";
    if (!IsPresent(file)) {
      throw Error("convert",
                  "'{}': got neither model.safetensors nor model.safetensors.index.json, want a "
                  "checkpoint in safetensors files",
                  folder.string());
    }
    return ReadSafetensors(file);
  }
  const std::string what = index.string();
  const nlohmann::json json = ReadJson(index);
  const nlohmann::json* map = FindField(json, "weight_map");
  if (map == nullptr || !map->is_object()) {
    throw Error("convert", "{}: weight_map: got {}, want an object", what,
                map == nullptr ? "none" : map->type_name());
  }
  std::map<std::string, CheckpointTensors> files;
  CheckpointTensors tensors;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string()) {
      throw Error("convert", "{}: tensor '{}': got a {}, want a file's name", what, name,
                  file.type_name());
    }
    const std::string file_name = file.get<std::string>();
    if (std::filesystem::path(file_name).filename() != file_name || file_name == "." ||
        !StaysInFolder(file_name)) {
      throw Error("convert", "{}: tensor '{}': got '{}', want a file's name in the same folder",
                  what, name, Excerpt(file_name));
    }
    const auto [it, fresh] = files.try_emplace(file_name);
    if (fresh) it->second = ReadSafetensors(folder / file_name);
    const auto found = it->second.find(name);
    if (found == it->second.end()) {
      throw Error("convert", "{}: tensor '{}': got no such tensor, want it, as {} says",
                  (folder / file_name).string(), name, index.filename().string());
    }
    tensors.emplace(name, found->second);
  }
  return tensors;
}

}  // namespace sinter::convert
