// Uploads through a ring of staging buffers, and downloads.

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "gpu/dawn.h"

namespace sinter::gpu {
namespace {

// Four slots keep the disk, the copy into staging memory and the copy to the GPU busy at the same
// time. 8 MiB is large enough that a submit (30 us on an H200's host) is cheap relative to one
// slot's transfer, and small enough for a phone.
constexpr size_t kStagingSlots = 4;
constexpr uint64_t kStagingBytes = 8u << 20;
// Upper bound on the size of uploads that use the queue's WriteBuffer: it is as fast for them and
// needs no map request.
constexpr uint64_t kSmallUploadBytes = 64u << 10;

}  // namespace

void Device::UploadStream(
    const Buffer& buffer, uint64_t offset, uint64_t bytes,
    const std::function<void(uint64_t offset, std::span<std::byte> out)>& fill) {
  SINTER_CHECK(offset % 4 == 0 && offset + bytes <= buffer.size_bytes(),
               "upload of {} bytes at {} into {} bytes", bytes, offset, buffer.size_bytes());
  Impl& impl = *impl_;
  std::lock_guard lock(impl.staging_mutex);
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t piece = std::min(bytes - done, kStagingBytes);
    const uint64_t padded = (piece + 3) / 4 * 4;
    if (padded <= kSmallUploadBytes) {
      std::vector<std::byte> data(padded);
      fill(done, std::span(data).first(piece));
      impl.queue.WriteBuffer(buffer.impl()->buffer, offset + done, data.data(), padded);
      done += piece;
      continue;
    }
    if (impl.staging.size() < kStagingSlots && impl.next_slot == impl.staging.size()) {
      Impl::StagingSlot slot;
      slot.buffer = impl.NewBuffer(
          kStagingBytes, wgpu::BufferUsage::MapWrite | wgpu::BufferUsage::CopySrc, "staging",
          /*mapped=*/true);
      impl.staging.push_back(std::move(slot));
    }
    Impl::StagingSlot& slot = impl.staging[impl.next_slot];
    impl.next_slot = (impl.next_slot + 1) % kStagingSlots;
    if (slot.waiting) {
      // The map request completes only after the GPU has copied the slot's previous contents.
      impl.WaitFor(slot.pending);
      slot.waiting = false;
    }
    auto* mapped = static_cast<std::byte*>(slot.buffer.GetMappedRange(0, kStagingBytes));
    if (mapped == nullptr) {
      Check();
      throw Error("gpu", "upload: got no staging memory, want {} bytes mapped", kStagingBytes);
    }
    fill(done, std::span(mapped, piece));
    std::memset(mapped + piece, 0, padded - piece);
    slot.buffer.Unmap();
    wgpu::CommandEncoder encoder = impl.device.CreateCommandEncoder();
    encoder.CopyBufferToBuffer(slot.buffer, 0, buffer.impl()->buffer, offset + done, padded);
    const wgpu::CommandBuffer commands = encoder.Finish();
    impl.queue.Submit(1, &commands);
    slot.pending = slot.buffer.MapAsync(wgpu::MapMode::Write, 0, kStagingBytes,
                                        wgpu::CallbackMode::WaitAnyOnly,
                                        [](wgpu::MapAsyncStatus, wgpu::StringView) {});
    slot.waiting = true;
    done += piece;
  }
}

void Device::Upload(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data) {
  UploadStream(buffer, offset, data.size(), [&](uint64_t at, std::span<std::byte> out) {
    std::memcpy(out.data(), data.data() + at, out.size());
  });
}

// Upper bound on the size of downloads that reuse a pooled buffer, so that reading a token
// allocates nothing.
constexpr uint64_t kPooledReadbackBytes = 4096;

struct Readback::Impl {
  std::shared_ptr<ErrorStore> errors;
  std::shared_ptr<ReadbackPool> pool;
  wgpu::Instance instance;
  wgpu::Buffer buffer;
  wgpu::Future mapped;
  uint64_t bytes = 0;
  uint64_t copied_bytes = 0;
  bool done = false;
  bool ok = false;
  std::string message;

  // The callback writes into this object, so the destructor waits for it even if nobody read the
  // bytes.
  ~Impl() {
    if (!done) instance.WaitAny(mapped, UINT64_MAX);
    if (pool && ok && buffer) {
      buffer.Unmap();
      pool->Give(std::move(buffer));
    }
  }
};

Readback Device::DownloadAsync(const Buffer& buffer, uint64_t offset, uint64_t bytes) {
  SINTER_CHECK(offset % 4 == 0 && offset + bytes <= buffer.size_bytes(),
               "download of {} bytes at {} of {} bytes", bytes, offset, buffer.size_bytes());
  Readback result;
  result.impl_ = std::make_shared<Readback::Impl>();
  Readback::Impl& readback = *result.impl_;
  readback.errors = impl_->errors;
  readback.instance = impl_->instance;
  readback.bytes = bytes;
  readback.copied_bytes = std::max<uint64_t>(4, (bytes + 3) / 4 * 4);
  const bool pooled = readback.copied_bytes <= kPooledReadbackBytes;
  if (pooled) {
    readback.pool = impl_->readbacks;
    readback.buffer = readback.pool->Take();
  }
  if (!readback.buffer) {
    readback.buffer =
        impl_->NewBuffer(pooled ? kPooledReadbackBytes : readback.copied_bytes,
                         wgpu::BufferUsage::MapRead | wgpu::BufferUsage::CopyDst, "readback");
  }
  wgpu::CommandEncoder encoder = impl_->device.CreateCommandEncoder();
  encoder.CopyBufferToBuffer(buffer.impl()->buffer, offset, readback.buffer, 0,
                             readback.copied_bytes);
  const wgpu::CommandBuffer commands = encoder.Finish();
  impl_->queue.Submit(1, &commands);
  readback.mapped = readback.buffer.MapAsync(
      wgpu::MapMode::Read, 0, readback.copied_bytes, wgpu::CallbackMode::WaitAnyOnly,
      [](wgpu::MapAsyncStatus status, wgpu::StringView message, Readback::Impl* impl) {
        impl->done = true;
        impl->ok = status == wgpu::MapAsyncStatus::Success;
        if (!impl->ok) impl->message = ToString(message);
      },
      &readback);
  return result;
}

std::vector<std::byte> Readback::Wait() {
  SINTER_CHECK(impl_ != nullptr, "a readback can be waited for once");
  const std::shared_ptr<Impl> impl = std::move(impl_);
  impl->instance.WaitAny(impl->mapped, UINT64_MAX);
  impl->instance.ProcessEvents();
  impl->errors->Throw();
  if (!impl->ok)
    throw Error::MultiLine("gpu", "download: got '{}', want {} bytes", impl->message, impl->bytes);
  std::vector<std::byte> bytes(impl->bytes);
  std::memcpy(bytes.data(), impl->buffer.GetConstMappedRange(0, impl->copied_bytes), bytes.size());
  return bytes;
}

}  // namespace sinter::gpu
