// Dawn objects behind the public handles, shared by the files of src/gpu. Include it only there.
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

#include "base/disk_cache.h"
#include "gpu/device.h"

namespace dawn::native {
class Instance;
}

namespace sinter::gpu {

inline std::string ToString(wgpu::StringView view) { return std::string(std::string_view(view)); }

// Returns the process-wide Dawn instance, which adapters and devices come from. It lives as long as
// any of them.
std::shared_ptr<dawn::native::Instance> SharedInstance();

// An adapter and its properties.
struct FoundAdapter {
  // Keeps the instance alive: an adapter and its futures belong to the instance that found it.
  std::shared_ptr<dawn::native::Instance> instance;
  wgpu::Adapter adapter;
  AdapterInfo info;
};

// Returns all adapters in the order of ListAdapters (best first). `checked` selects the Dawn
// toggles, which affect the features that an adapter reports.
std::vector<FoundAdapter> FindAdapters(bool checked);

// Dawn toggles of checked and unchecked devices. The pointers refer to string literals.
// `robust` keeps shaders from reading past a buffer's end on an unchecked device, too.
struct Toggles {
  explicit Toggles(bool checked, bool robust = false);
  std::vector<const char*> enabled, disabled;
  wgpu::DawnTogglesDescriptor descriptor;
};

struct Buffer::Impl {
  wgpu::Buffer buffer;
  uint64_t size = 0;
  // Counter behind Device::allocated_bytes, which includes this buffer until it is destroyed.
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

// Errors that callbacks report from any thread, kept until the next Check().
struct ErrorStore {
  std::mutex mutex;
  std::string first_error;
  bool lost = false;
  bool closing = false;
  std::string lost_message;

  void Throw();
};

// Pool of unmapped buffers that small downloads reuse.
class ReadbackPool {
 public:
  // Returns a buffer, or null if the pool is empty.
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
  std::unique_ptr<DiskCache> disk_cache;  // of the driver's compiled shaders
  std::shared_ptr<ErrorStore> errors = std::make_shared<ErrorStore>();
  std::shared_ptr<std::atomic<uint64_t>> allocated = std::make_shared<std::atomic<uint64_t>>(0);

  std::shared_ptr<ReadbackPool> readbacks = std::make_shared<ReadbackPool>();

  // Serializes error scopes: they form one stack per device, so only one thread at a time may be
  // between push and pop.
  std::mutex scope_mutex;

  std::mutex pipelines_mutex;
  std::map<std::string, Pipeline, std::less<>> pipelines;
  int pipelines_created = 0;
  // Labels of the shaders that GetPipelines calls are compiling, and the total counts of
  // compilations started and ended. `pipelines_changed` is notified at the end of each compilation.
  std::set<std::string, std::less<>> compiling;
  int compilations = 0, compilations_done = 0;
  std::condition_variable pipelines_changed;

  // Slot of the staging ring, whose buffers are mapped in turn. `pending` is the map request of a
  // slot that the GPU may still be reading.
  struct StagingSlot {
    wgpu::Buffer buffer;
    wgpu::Future pending;
    bool waiting = false;
  };
  std::mutex staging_mutex;
  std::vector<StagingSlot> staging;
  size_t next_slot = 0;

  // Waits for a future. Returns false if the wait fails because the device was lost.
  bool WaitFor(wgpu::Future future) {
    return instance.WaitAny(future, UINT64_MAX) == wgpu::WaitStatus::Success;
  }
  // Returns whether the options and the process's limits leave room for a buffer.
  bool HasRoomFor(uint64_t bytes) const;
  [[noreturn]] void ThrowNoMemory(std::string_view label, uint64_t bytes) const;
  wgpu::Buffer NewBuffer(uint64_t bytes, wgpu::BufferUsage usage, std::string_view label,
                         bool mapped = false);
};

// Encodes a list. Consecutive dispatches share one compute pass.
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
