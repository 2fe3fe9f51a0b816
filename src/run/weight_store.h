// The constants of a model on the GPU: uploaded once, shared by all its programs.
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

// Sessions in several threads may share one.
class WeightStore {
 public:
  explicit WeightStore(std::shared_ptr<gpu::Device> device) : device_(std::move(device)) {}

  // Called with the bytes uploaded so far, from the loading thread. It may throw to stop the load.
  void set_progress(std::function<void(uint64_t uploaded_bytes)> progress) {
    std::lock_guard lock(mutex_);
    progress_ = std::move(progress);
  }

  // The tensor's elements in a form. Streams the tensor's range of the file through staging memory
  // and lets the pages of the file go. Throws Error for a conversion that does not exist.
  gpu::BufferRange Get(const graph::Tensor& tensor, const compile::WeightForm& form,
                       const std::string& name) {
    return Get(std::span(&tensor, 1), form, name);
  }
  // The same for several tensors, one behind the other. Where more of them lie so already, and
  // these begin where a binding can, it is that part.
  gpu::BufferRange Get(std::span<const graph::Tensor> tensors, const compile::WeightForm& form,
                       const std::string& name);

  uint64_t bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  std::shared_ptr<gpu::Device> device_;
  // Held through an upload: who asks for a tensor that another thread is uploading waits for it.
  mutable std::mutex mutex_;
  std::function<void(uint64_t)> progress_;
  std::map<compile::WeightKey, gpu::Buffer> buffers_;
  // Where in a buffer a tensor begins, and the key of that buffer.
  struct Part {
    const compile::WeightKey* whole = nullptr;
    size_t index = 0;
    uint64_t offset = 0;
  };
  gpu::BufferRange Find(const compile::WeightKey& key, uint64_t bytes) const;

  // By a tensor's bytes and form.
  std::map<std::pair<const std::byte*, compile::WeightForm>, std::vector<Part>> parts_;
  // Keeps the bytes behind the keys above, so that no other tensor can come to lie at the same
  // address.
  std::vector<std::shared_ptr<const void>> owners_;
  uint64_t bytes_ = 0;
};

}  // namespace sinter::run
