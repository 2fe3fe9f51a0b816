// Command lists: recorded sequences of dispatches and copies. Recording creates the bind groups, so
// replaying a list costs only the encoding.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sinter::gpu {

// Handle of a GPU buffer. Copies of a handle share the buffer.
class Buffer {
 public:
  Buffer() = default;
  // Returns the requested size, rounded up to a multiple of 16.
  uint64_t size_bytes() const;
  explicit operator bool() const { return impl_ != nullptr; }
  bool operator==(const Buffer& other) const { return impl_ == other.impl_; }

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }
  explicit Buffer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<Impl> impl_;
};

// Byte range [offset, offset + size) of a buffer. A size of 0 means up to the end of the buffer.
struct BufferRange {
  Buffer buffer;
  uint64_t offset = 0;
  uint64_t size = 0;
  BufferRange() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): the whole buffer is a range of it.
  BufferRange(Buffer whole, uint64_t from = 0, uint64_t bytes = 0)
      : buffer(std::move(whole)), offset(from), size(bytes) {}
  explicit operator bool() const { return static_cast<bool>(buffer); }
  bool operator==(const BufferRange&) const = default;
  uint64_t size_bytes() const { return size != 0 ? size : buffer.size_bytes() - offset; }
};

// A compiled compute shader.
class Pipeline {
 public:
  Pipeline() = default;
  const std::string& label() const;
  explicit operator bool() const { return impl_ != nullptr; }

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }
  explicit Pipeline(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<Impl> impl_;
};

// Byte range [offset, offset + size) of a buffer, bound at @binding(binding) of group 0. A size of
// 0 means up to the end of the buffer.
struct Binding {
  uint32_t binding = 0;
  Buffer buffer;
  uint64_t offset = 0;
  uint64_t size = 0;
};

class Device;

class CommandList {
 public:
  explicit CommandList(Device& device);
  ~CommandList();
  CommandList(CommandList&&) noexcept;
  CommandList& operator=(CommandList&&) noexcept;

  // Appends one dispatch. `label` names it in profiles; if empty, the pipeline's label does.
  void Dispatch(const Pipeline& pipeline, std::span<const Binding> bindings,
                std::array<uint32_t, 3> workgroups, std::string_view label = {});
  // Appends a copy of `bytes` bytes. Offsets and size must be multiples of 4.
  void Copy(const Buffer& from, uint64_t from_offset, const Buffer& to, uint64_t to_offset,
            uint64_t bytes);
  void Clear(const Buffer& buffer, uint64_t offset, uint64_t bytes);
  void Append(const CommandList& other);

  size_t num_dispatches() const;
  // Returns the labels of the dispatches, in order.
  std::vector<std::string> labels() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinter::gpu
