// The constants of a model on the GPU, uploaded once and shared by all its programs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "compile/weight_form.h"
#include "gpu/device.h"
#include "graph/tensor.h"

namespace sinter::run {

// The GPU buffers of a model's constants. Threads may share one store.
class WeightStore {
 public:
  explicit WeightStore(std::shared_ptr<gpu::Device> device) : device_(std::move(device)) {}

  // Sets a function that is called from the loading thread with the bytes uploaded so far. It may
  // throw to stop the load.
  void set_progress(std::function<void(uint64_t uploaded_bytes)> progress) {
    std::lock_guard lock(mutex_);
    progress_ = std::move(progress);
  }

  // Returns the tensor's elements in the given form and uploads them if needed. Streams the
  // tensor's range of the file through staging memory and releases the file's pages afterwards.
  // Throws Error if the conversion does not exist.
  gpu::BufferRange Get(const graph::Tensor& tensor, const compile::WeightForm& form,
                       const std::string& name) {
    return Get(std::span(&tensor, 1), form, name);
  }
  // Returns several tensors, concatenated. If a buffer already holds them as part of a longer
  // concatenation, and they begin at an offset where a binding may begin, returns that part.
  gpu::BufferRange Get(std::span<const graph::Tensor> tensors, const compile::WeightForm& form,
                       const std::string& name);

  uint64_t bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  std::shared_ptr<gpu::Device> device_;
  // Held during an upload, so that a thread that asks for a tensor under upload waits for it.
  mutable std::mutex mutex_;
  std::function<void(uint64_t)> progress_;
  std::map<compile::WeightKey, gpu::Buffer> buffers_;
  // Offset of a tensor in a joined buffer, and the key of that buffer.
  struct Part {
    const compile::WeightKey* whole = nullptr;
    size_t index = 0;
    uint64_t offset = 0;
  };
  gpu::BufferRange Find(const compile::WeightKey& key, uint64_t bytes) const;

  // Parts of joined buffers, by the tensor's address and form.
  std::map<std::pair<const std::byte*, compile::WeightForm>, std::vector<Part>> parts_;
  // Owners of the bytes behind the keys above. Holding them ensures that no other tensor gets the
  // same address.
  std::vector<std::shared_ptr<const void>> owners_;
  uint64_t bytes_ = 0;
};

}  // namespace sinter::run
