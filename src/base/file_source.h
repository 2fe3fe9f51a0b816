// A model's files by their names: those of a folder, or those that an application brings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/mapped_file.h"

namespace sinter {

// Calls are safe from several threads at once.
class FileSource {
 public:
  virtual ~FileSource() = default;

  // Returns what messages call the file, such as its path.
  virtual std::string PathOf(const std::string& name) const = 0;
  // Returns whether there is such a file, as the function IsPresent() does.
  virtual bool Has(const std::string& name) const = 0;
  // Returns the bytes of a file. Throws Error("file") if they cannot be had.
  virtual std::shared_ptr<const MappedFile> Map(const std::string& name) const = 0;
  // Returns the contents of a small file, and throws, as the function ReadSmallFile() does.
  virtual std::string ReadSmall(const std::string& name, std::string_view area,
                                std::string_view want,
                                uint64_t max_bytes = kMaxSmallFileBytes) const = 0;
};

class FolderFiles : public FileSource {
 public:
  explicit FolderFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::string PathOf(const std::string& name) const override { return (folder_ / name).string(); }
  bool Has(const std::string& name) const override { return IsPresent(folder_ / name); }
  std::shared_ptr<const MappedFile> Map(const std::string& name) const override {
    return MappedFile::Open(folder_ / name);
  }
  std::string ReadSmall(const std::string& name, std::string_view area, std::string_view want,
                        uint64_t max_bytes) const override {
    return ReadSmallFile(folder_ / name, area, want, max_bytes);
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace sinter
