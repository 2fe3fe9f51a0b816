// The GPU: adapters, a device with its queue, buffers, transfers, pipelines and errors. This header
// hides Dawn.
//
// Threads: several threads may use one Device. Work runs in the order of the Submit and Upload
// calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/error.h"
#include "gpu/command_list.h"
#include "wgsl/shader.h"

namespace sinter::gpu {

// Properties of one adapter of this machine.
struct AdapterInfo {
  int index = 0;
  std::string name;    // "NVIDIA H200"
  std::string vendor;  // "nvidia"
  std::string architecture;
  std::string driver;     // the driver's name and version
  std::string type;       // "discrete GPU", "integrated GPU", "CPU", "unknown"
  std::string backend;    // "Vulkan"
  bool software = false;  // the adapter emulates a GPU on the CPU
  // Bytes of the adapter's largest heap of its own memory, used or not; 0 if the driver tells none.
  uint64_t memory_bytes = 0;
  // Whether that heap is main memory: an integrated GPU, or the CPU.
  bool shares_main_memory = false;
  Caps caps;
  std::vector<std::string> features;  // WebGPU's feature names
  std::string refused;                // reason why Sinter cannot use it; empty if it can
};

// Returns all adapters that Dawn finds, best first (discrete, integrated, other, CPU, and last
// those that Sinter cannot use). `index` is the position in this list.
std::vector<AdapterInfo> ListAdapters();

struct DeviceOptions {
  // Adapter to open. Empty: the first usable one of ListAdapters(). A number: that index.
  // "software": the first CPU adapter. Any other text: the first adapter whose name contains it,
  // ignoring case.
  std::string adapter;
  // Turns on validation, bounds checks and zero-initialized memory, for tests and debugging. False
  // is faster.
  bool checked = false;
  // Features that the device may use. Set one to false to behave like an adapter without it.
  bool f16 = true;
  bool subgroups = true;
  bool subgroup_matrix = true;
  // Chooses kernels as for a GPU even if the adapter is a CPU. Does not work with fusion `chain`,
  // whose workgroups wait for each other: a CPU does not run all of them at the same time.
  bool as_gpu = false;
  // Upper bound on the bytes of one storage binding, to imitate a smaller adapter. 0 keeps the
  // adapter's own limit.
  uint64_t max_storage_binding_bytes = 0;
  // Upper bound on AdapterInfo::memory_bytes and on the bytes of all buffers, to imitate an adapter
  // with less memory. 0 keeps the adapter's own.
  uint64_t memory_bytes = 0;
  // Bytes of that memory that other processes take: no buffer gets them, but MemoryLeft() does not
  // know. For tests.
  uint64_t memory_in_use_bytes = 0;
  // Folder that keeps compiled shaders between runs. Empty: no disk cache.
  std::filesystem::path cache_dir;
};

// Returns `${XDG_CACHE_HOME:-~/.cache}/sinter/pipelines`, or an empty path if neither
// XDG_CACHE_HOME nor HOME is set. A relative XDG_CACHE_HOME counts as not set.
std::filesystem::path DefaultCacheDir();

// Download in progress. The GPU copies the bytes in the order of submission; Wait() reads them.
class Readback {
 public:
  Readback() = default;
  // Waits for the bytes and returns them. Throws DeviceLostError if the device was lost, Error if
  // the download failed. May be called only once.
  std::vector<std::byte> Wait();
  explicit operator bool() const { return impl_ != nullptr; }

 private:
  friend class Device;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Time span of one dispatch on the GPU.
struct DispatchSpan {
  std::string label;     // label given to CommandList::Dispatch
  std::string pipeline;  // the pipeline's label
  // Start time on the GPU's clock. Its zero is arbitrary but the same for all spans of a device.
  double begin_nanoseconds = 0;
  double nanoseconds = 0;
};

// Error thrown when a request exceeds an adapter's limits or its free memory.
class ResourceError : public Error {
 public:
  using Error::Error;
};

// Error thrown when a buffer finds no memory.
class OutOfMemoryError : public ResourceError {
 public:
  using ResourceError::ResourceError;
};

struct CompileProgress {
  int done = 0, begun = 0;
};

class Device {
 public:
  // Opens a device. Throws Error if no adapter matches the options (the message lists the adapters
  // found and why any was refused) or if Dawn cannot create the device.
  static std::shared_ptr<Device> Open(const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const AdapterInfo& adapter() const;
  const Caps& caps() const;
  const DeviceOptions& options() const;

  // Creates a storage buffer of at least `bytes` bytes (rounded up to a multiple of 16, never 0).
  // Its contents are zero only if options().checked, so callers must not rely on them. Throws
  // ResourceError if the size exceeds the adapter's largest buffer, OutOfMemoryError if memory runs
  // out.
  Buffer CreateBuffer(uint64_t bytes, std::string_view label);
  // Creates a uniform buffer that holds `bytes`.
  Buffer CreateUniformBuffer(std::span<const std::byte> bytes, std::string_view label);

  // Copies `data` into `buffer` through the staging ring; the caller may free `data` on return.
  // `offset` must be a multiple of 4. Zeros pad the data to a multiple of 4 bytes.
  void Upload(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data);
  // Uploads `bytes` bytes that `fill(offset, out)` writes piece by piece, directly into staging
  // memory for all but small pieces. `offset` and padding are as for Upload.
  void UploadStream(const Buffer& buffer, uint64_t offset, uint64_t bytes,
                    const std::function<void(uint64_t offset, std::span<std::byte> out)>& fill);

  Readback DownloadAsync(const Buffer& buffer, uint64_t offset, uint64_t bytes);
  std::vector<std::byte> Download(const Buffer& buffer, uint64_t offset, uint64_t bytes) {
    return DownloadAsync(buffer, offset, bytes).Wait();
  }

  // Returns the shaders' pipelines, in order. Compiles missing ones in parallel and waits for those
  // that another thread is compiling. Throws Error (area `wgsl`) with the file and line in the
  // shader's source.
  std::vector<Pipeline> GetPipelines(std::span<const wgsl::Shader> shaders);
  // Returns the number of pipelines that this device has compiled, including those found in the
  // disk cache.
  int pipelines_created() const;
  // Returns how many compilations have ended and how many have started. May be called while another
  // thread compiles.
  CompileProgress compile_progress() const;

  // Queues one run of the list and returns without waiting for it.
  void Submit(const CommandList& list);
  // Runs the list once with timestamps around each dispatch and waits. Returns nanoseconds per
  // dispatch, in order. Throws Error if the adapter has no timestamp queries.
  std::vector<double> SubmitProfiled(const CommandList& list);
  // Runs the list like SubmitProfiled. Returns each dispatch's labels, start time and duration.
  std::vector<DispatchSpan> SubmitTraced(const CommandList& list);
  // Waits until all submitted work is done, then calls Check().
  void Wait();
  // Throws Error for the first stored asynchronous error, or DeviceLostError if the device is lost.
  void Check();

  // Simulates a driver reset, for tests.
  void SimulateLoss();

  // Returns the bytes of live buffers made by this device.
  uint64_t allocated_bytes() const;
  // Returns an upper bound on the bytes that further buffers may have, or nullopt if nothing tells.
  // WebGPU has no query of free memory: a GPU's own memory is its heap less this device's buffers,
  // even if other processes use some of it. Main memory is what the system has available. Memory of
  // buffers that were never written may count as available.
  std::optional<uint64_t> MemoryLeft() const;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  Device();
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinter::gpu
