// The keys and values of one sequence on the GPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "gpu/device.h"
#include "model/kv_cache.h"
#include "run/program.h"

namespace sinter::engine {

class Model;

class KvCache {
 public:
  // Allocates room for `capacity` tokens, padding included, and fills it with zeros. The rows
  // behind the sequence may hold anything later, even NaN: no run's result depends on them. Throws
  // Error if memory runs out.
  KvCache(const Model& model, int64_t capacity);

  int64_t capacity() const { return capacity_; }
  uint64_t bytes() const { return bytes_; }
  // Returns the memory by the names of past and present inputs and outputs.
  const run::Externals& externals() const { return externals_; }

  // Number of rows from the first on that hold tokens of the sequence. The sequence sets it.
  // Measuring may overwrite the other rows.
  std::atomic<int64_t> used = 0;

 private:
  int64_t capacity_;
  uint64_t bytes_ = 0;
  std::vector<gpu::Buffer> buffers_;
  run::Externals externals_;
};

}  // namespace sinter::engine
