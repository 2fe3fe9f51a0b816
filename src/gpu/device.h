// The GPU: adapters, one device with its queue, buffers, transfers, pipelines, errors. Dawn stays
// behind this header.
//
// Threads: a Device may be used from several threads. Work is executed in the order of the Submit
// and Upload calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/error.h"
#include "gpu/command_list.h"
#include "wgsl/shader.h"

namespace sinter::gpu {

// One adapter of this machine.
struct AdapterInfo {
  int index = 0;
  std::string name;    // "NVIDIA H200"
  std::string vendor;  // "nvidia"
  std::string architecture;
  std::string driver;     // driver's own name and version
  std::string type;       // "discrete GPU", "integrated GPU", "CPU", "unknown"
  std::string backend;    // "Vulkan"
  bool software = false;  // a CPU pretending to be a GPU
  Caps caps;
  std::vector<std::string> features;  // WebGPU's names
  std::string refused;                // why Sinter cannot use it; empty where it can
};

// Every adapter that Dawn finds, best first (discrete, integrated, CPU); `index` is the place in
// this list.
std::vector<AdapterInfo> ListAdapters();

struct DeviceOptions {
  // Empty: the first usable one of ListAdapters(). A number: that index. "software": the first CPU
  // adapter. Anything else: the first adapter whose name contains it, in any case.
  std::string adapter;
  // Validation, bounds checks and zeroed memory on: for tests and for debugging. Off: for speed.
  bool checked = false;
  // Set to false to run as on an adapter without the feature.
  bool f16 = true;
  bool subgroups = true;
  bool subgroup_matrix = true;
  // Set to true to choose kernels as for a GPU where the adapter is a CPU. Not for fusion `chain`:
  // a CPU does not hold at once all workgroups that wait for each other there.
  bool as_gpu = false;
  // Lowers the limit of one storage binding, as on a smaller adapter; 0 leaves it.
  uint64_t max_storage_binding_bytes = 0;
  // Where compiled shaders are kept between runs; empty: nowhere.
  std::filesystem::path cache_dir;
};

// `${XDG_CACHE_HOME:-~/.cache}/sinter/pipelines`; empty where neither variable is set.
std::filesystem::path DefaultCacheDir();

// A download under way: copied on the GPU's timeline at the call, read later.
class Readback {
 public:
  Readback() = default;
  // Waits until the bytes are there. Throws DeviceLostError or Error. Call it once.
  std::vector<std::byte> Wait();
  explicit operator bool() const { return impl_ != nullptr; }

 private:
  friend class Device;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// When one dispatch ran.
struct DispatchSpan {
  std::string label;     // as given to CommandList::Dispatch
  std::string pipeline;  // the pipeline's label
  // On the GPU's own clock, whose zero is arbitrary but the same for the whole device.
  double begin_nanoseconds = 0;
  double nanoseconds = 0;
};

// Error thrown where something is more than an adapter's limits or its free memory allow.
class ResourceError : public Error {
 public:
  using Error::Error;
};

struct CompileProgress {
  int done = 0, begun = 0;
};

class Device {
 public:
  // Throws Error: no such adapter, or it lacks something, naming what was found and why each was
  // refused.
  static std::shared_ptr<Device> Open(const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const AdapterInfo& adapter() const;
  const Caps& caps() const;
  const DeviceOptions& options() const;

  // A storage buffer of at least `bytes` (rounded up to 16, never 0). New buffers hold zeros only
  // where options().checked; nothing may rely on it. Throws Error past the adapter's largest
  // buffer.
  Buffer CreateBuffer(uint64_t bytes, std::string_view label);
  // A buffer that shaders read as uniform, holding `bytes`.
  Buffer CreateUniformBuffer(std::span<const std::byte> bytes, std::string_view label);

  // Copies into `buffer` through the staging ring; `data` may be freed on return. `offset` is a
  // multiple of 4; a size that is not is padded with zeros to the next 4 bytes.
  void Upload(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data);
  // The same for `bytes` bytes that `fill(offset, out)` writes piece by piece, straight into
  // staging memory.
  void UploadStream(const Buffer& buffer, uint64_t offset, uint64_t bytes,
                    const std::function<void(uint64_t offset, std::span<std::byte> out)>& fill);

  Readback DownloadAsync(const Buffer& buffer, uint64_t offset, uint64_t bytes);
  std::vector<std::byte> Download(const Buffer& buffer, uint64_t offset, uint64_t bytes) {
    return DownloadAsync(buffer, offset, bytes).Wait();
  }

  // Returns the shaders' pipelines, in order. Compiles those that are missing in parallel, and
  // waits for those that another thread compiles. Throws Error (area `wgsl`) with the shader's own
  // file and line.
  std::vector<Pipeline> GetPipelines(std::span<const wgsl::Shader> shaders);
  // Pipelines compiled by this device so far (those found in the disk cache count too).
  int pipelines_created() const;
  // Compilations that ended and that were begun so far; may be read while another thread compiles.
  CompileProgress compile_progress() const;

  // Runs the list once. Returns as soon as it is queued.
  void Submit(const CommandList& list);
  // Runs the list once with a timestamp around each dispatch and waits; nanoseconds by dispatch, in
  // order.
  std::vector<double> SubmitProfiled(const CommandList& list);
  // The same, saying of each dispatch what it was and when it began.
  std::vector<DispatchSpan> SubmitTraced(const CommandList& list);
  // Waits until everything submitted is done, then Check()s.
  void Wait();
  // Throws the first stored asynchronous error; DeviceLostError once the device is gone.
  void Check();

  // For tests: what a driver reset looks like from here.
  void SimulateLoss();

  // Bytes of live buffers made by this device.
  uint64_t allocated_bytes() const;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  Device();
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinter::gpu
