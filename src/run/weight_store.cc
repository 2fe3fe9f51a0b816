#include "run/weight_store.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sinter::run {
namespace {

// Releases the pages of a mapped file after their copy to the GPU. Shrinks the range to whole
// pages.
void ReleasePages(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(bytes.data()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size()) / page * page;
  // MADV_COLD leaves private memory intact, so any owner of the bytes is safe.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a page begins at a number.
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_COLD);
}

}  // namespace

gpu::BufferRange WeightStore::Find(const compile::WeightKey& key, uint64_t bytes) const {
  if (const auto it = buffers_.find(key); it != buffers_.end()) return it->second;
  const auto& tensors = key.tensors;
  const auto it = parts_.find({tensors.front().first, key.form});
  if (it == parts_.end()) return {};
  const uint64_t alignment = device_->caps().limits.min_storage_offset_alignment;
  for (const Part& part : it->second) {
    const auto& all = part.whole->tensors;
    // A binding consists of whole 4-byte words.
    if (part.offset % alignment == 0 && bytes > 0 && bytes % 4 == 0 &&
        all.size() - part.index >= tensors.size() &&
        std::equal(tensors.begin(), tensors.end(),
                   all.begin() + static_cast<std::ptrdiff_t>(part.index))) {
      return {buffers_.at(*part.whole), part.offset, bytes};
    }
  }
  return {};
}

gpu::BufferRange WeightStore::Get(std::span<const graph::Tensor> tensors,
                                  const compile::WeightForm& form, const std::string& name) {
  std::lock_guard lock(mutex_);
  compile::WeightKey key = compile::KeyOf(tensors, form);
  // End offset of each tensor in the joined buffer.
  std::vector<uint64_t> ends;
  for (const graph::Tensor& tensor : tensors) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + compile::DeviceBytes(tensor, form.dtype));
  }
  if (gpu::BufferRange known = Find(key, ends.back())) return known;
  const gpu::Buffer buffer = device_->CreateBuffer(ends.back(), name);
  device_->UploadStream(buffer, 0, ends.back(), [&](uint64_t offset, std::span<std::byte> out) {
    uint64_t begin = 0;
    for (size_t i = 0; i < tensors.size(); begin = ends[i++]) {
      const uint64_t from = std::max(begin, offset);
      const uint64_t to = std::min(ends[i], offset + out.size());
      if (from >= to) continue;
      compile::FormBytes(tensors[i], form, from - begin, out.subspan(from - offset, to - from));
    }
    bytes_ += out.size();
    if (progress_) progress_(bytes_);
  });
  for (const graph::Tensor& tensor : tensors) {
    ReleasePages(tensor.bytes);
    owners_.push_back(tensor.owner);
  }
  const compile::WeightKey& whole = buffers_.emplace(std::move(key), buffer).first->first;
  for (size_t i = 0; i < tensors.size(); ++i) {
    parts_[{whole.tensors[i].first, form}].push_back({&whole, i, i == 0 ? 0 : ends[i - 1]});
  }
  return buffer;
}

}  // namespace sinter::run
