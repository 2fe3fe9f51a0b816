// A model's files that the program brings through callbacks.
#pragma once

#include <sinter/sinter.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/file_source.h"

namespace sinter::api {

class CallbackFiles : public FileSource {
 public:
  // `folder` is only a name in messages. Throws InvalidArgument for callbacks that are missing.
  CallbackFiles(const sinter_files& files, std::string folder);

  std::string PathOf(const std::string& name) const override;
  bool Has(const std::string& name) const override { return Bytes(name).has_value(); }
  std::shared_ptr<const MappedFile> Map(const std::string& name) const override;
  std::string ReadSmall(const std::string& name, std::string_view area, std::string_view want,
                        uint64_t max_bytes) const override;

 private:
  // Returns the size of a file; nullopt if there is none. Throws Error if the callback fails.
  std::optional<uint64_t> Bytes(const std::string& name) const;
  void Read(const std::string& name, uint64_t offset, std::span<std::byte> out) const;

  sinter_files files_;
  std::string folder_;
  mutable std::mutex mutex_;  // the callbacks run one at a time
};

}  // namespace sinter::api
