// What the files of src/gpu share: Dawn's objects behind the handles. Included nowhere else.
#pragma once

#include <webgpu/webgpu_cpp.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"

namespace dawn::native {
class Instance;
}

namespace sinter::gpu {

inline std::string ToString(wgpu::StringView view) { return std::string(std::string_view(view)); }

// The one instance of the process: adapters and devices come from it, and it lives as long as one
// of them.
std::shared_ptr<dawn::native::Instance> SharedInstance();

// An adapter with what was read from it.
struct FoundAdapter {
  // An adapter and its futures belong to the instance that found it.
  std::shared_ptr<dawn::native::Instance> instance;
  wgpu::Adapter adapter;
  AdapterInfo info;
};

// Best first, as ListAdapters gives them. The toggles decide what an adapter shows.
std::vector<FoundAdapter> FindAdapters(bool checked);

// Toggle lists by mode; the pointers are to string literals.
struct Toggles {
  explicit Toggles(bool checked);
  std::vector<const char*> enabled, disabled;
  wgpu::DawnTogglesDescriptor descriptor;
};

// Where the driver's compiled shaders are kept between runs: a file an entry, named by the key's
// hash, which holds the key too, so that a collision or a torn file is a miss.
class DiskCache {
 public:
  explicit DiskCache(std::filesystem::path dir) : dir_(std::move(dir)) {}
  // Copies the value into `value` where it fits and returns its size; 0 for a miss.
  size_t Load(std::span<const std::byte> key, std::span<std::byte> value) const;
  void Store(std::span<const std::byte> key, std::span<const std::byte> value) const;

 private:
  std::filesystem::path PathOf(std::span<const std::byte> key) const;
  std::filesystem::path dir_;
};

struct Buffer::Impl {
  wgpu::Buffer buffer;
  uint64_t size = 0;
  // Counts into Device::allocated_bytes until the buffer dies.
  std::shared_ptr<std::atomic<uint64_t>> allocated;
  ~Impl() {
    if (allocated) *allocated -= size;
  }
};

struct Pipeline::Impl {
  std::string label;
  wgpu::ComputePipeline pipeline;
  wgpu::BindGroupLayout layout;
};

// Errors that arrive by callback, from any thread, until the next Check().
struct ErrorStore {
  std::mutex mutex;
  std::string first_error;
  bool lost = false;
  bool closing = false;
  std::string lost_message;

  void Throw();
};

// Unmapped buffers for small downloads, ready for the next one.
class ReadbackPool {
 public:
  // Null where there is none.
  wgpu::Buffer Take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;
    wgpu::Buffer buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void Give(wgpu::Buffer buffer) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(buffer));
  }

 private:
  std::mutex mutex_;
  std::vector<wgpu::Buffer> free_;
};

struct Device::Impl {
  std::shared_ptr<dawn::native::Instance> instance_owner;
  wgpu::Instance instance;
  wgpu::Device device;
  wgpu::Queue queue;
  DeviceOptions options;
  AdapterInfo info;
  std::unique_ptr<DiskCache> disk_cache;
  std::shared_ptr<ErrorStore> errors = std::make_shared<ErrorStore>();
  std::shared_ptr<std::atomic<uint64_t>> allocated = std::make_shared<std::atomic<uint64_t>>(0);

  std::shared_ptr<ReadbackPool> readbacks = std::make_shared<ReadbackPool>();

  // Error scopes are a stack of the whole device: one thread at a time between push and pop.
  std::mutex scope_mutex;

  std::mutex pipelines_mutex;
  std::map<std::string, Pipeline, std::less<>> pipelines;
  int pipelines_created = 0;
  // Labels of the shaders that a call of GetPipelines compiles at the moment, and how many were
  // begun and ended in all. `pipelines_changed` tells of every end.
  std::set<std::string, std::less<>> compiling;
  int compilations = 0, compilations_done = 0;
  std::condition_variable pipelines_changed;

  // The staging ring: slots are mapped in turn; `pending` is the map request of a slot that the GPU
  // may still read.
  struct StagingSlot {
    wgpu::Buffer buffer;
    wgpu::Future pending;
    bool waiting = false;
  };
  std::mutex staging_mutex;
  std::vector<StagingSlot> staging;
  size_t next_slot = 0;

  // Waits for a future; false where the device was lost first.
  bool WaitFor(wgpu::Future future) {
    return instance.WaitAny(future, UINT64_MAX) == wgpu::WaitStatus::Success;
  }
  wgpu::Buffer NewBuffer(uint64_t bytes, wgpu::BufferUsage usage, std::string_view label,
                         bool mapped = false);
};

// Encodes a list; with `timestamps`, each dispatch in a pass of its own that writes queries 2i and
// 2i+1.
void Encode(const CommandList& list, const wgpu::CommandEncoder& encoder);

struct CommandList::Impl {
  enum class Kind { kDispatch, kCopy, kClear };
  struct Command {
    Kind kind = Kind::kDispatch;
    std::shared_ptr<Pipeline::Impl> pipeline;
    wgpu::BindGroup group;
    std::array<uint32_t, 3> workgroups = {};
    std::string label;
    wgpu::Buffer from, to;
    uint64_t from_offset = 0, to_offset = 0, bytes = 0;
  };
  Device* device = nullptr;
  std::vector<Command> commands;
};

}  // namespace sinter::gpu
