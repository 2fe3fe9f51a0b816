// Opens devices, creates buffers, reports errors and submits work.

#include "gpu/device.h"

#include <dawn/native/DawnNative.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/bytes_text.h"
#include "base/error.h"
#include "base/system_memory.h"
#include "base/user_folders.h"
#include "gpu/dawn.h"
#include "gpu/process_limits.h"

namespace sinter::gpu {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return lower;
}

bool Matches(const AdapterInfo& info, const std::string& wanted) {
  if (wanted.empty()) return true;
  if (std::all_of(wanted.begin(), wanted.end(), [](unsigned char c) { return std::isdigit(c); })) {
    return std::to_string(info.index) == wanted;
  }
  const std::string lower = Lower(wanted);
  if (lower == "software") return info.software;
  return Lower(info.name).find(lower) != std::string::npos;
}

FoundAdapter Choose(const DeviceOptions& options) {
  std::vector<FoundAdapter> adapters = FindAdapters(options.checked);
  if (adapters.empty()) {
    // A driver that does not get its memory is missing from the list.
    if (const std::string problem = AddressSpaceProblem(); !problem.empty())
      throw Error("gpu", "{}", problem);
    throw Error(
        "gpu",
        "adapter: got none, want a Vulkan driver (a GPU's own, or Mesa's lavapipe for software)");
  }
  std::string list;
  for (FoundAdapter& found : adapters) {
    if (Matches(found.info, options.adapter) && found.info.refused.empty()) return std::move(found);
    list += fmt::format("{}{}: {} ({}){}", list.empty() ? "" : "; ", found.info.index,
                        found.info.name, found.info.type,
                        found.info.refused.empty() ? "" : ", refused: " + found.info.refused);
  }
  throw Error("gpu",
              "adapter: got '{}', want 'software', an index or a part of one of these names: {}",
              options.adapter, list);
}

// Returns the adapter's capabilities without those that the options turn off.
Caps Restrict(Caps caps, const DeviceOptions& options) {
  if (!options.f16) caps.f16 = false;
  if (options.as_gpu) caps.software = false;
  if (!options.subgroups) {
    caps.subgroups = false;
    caps.subgroup_min_size = caps.subgroup_max_size = 0;
  }
  if (!options.subgroup_matrix || !caps.subgroups) caps.subgroup_matrix.clear();
  if (options.max_storage_binding_bytes != 0) {
    caps.limits.max_storage_binding_bytes =
        std::min(caps.limits.max_storage_binding_bytes, options.max_storage_binding_bytes);
  }
  return caps;
}

}  // namespace

std::filesystem::path DefaultCacheDir() {
  const std::filesystem::path caches = UserFolder("XDG_CACHE_HOME", ".cache");
  return caches.empty() ? caches : caches / "sinter" / "pipelines";
}

void ErrorStore::Throw() {
  std::lock_guard lock(mutex);
  if (lost)
    throw DeviceLostError(
        fmt::format("device lost: got '{}', want a working device; open it again", lost_message));
  if (!first_error.empty()) throw Error::MultiLine("gpu", "{}", std::exchange(first_error, {}));
}

uint64_t Buffer::size_bytes() const { return impl_ ? impl_->size : 0; }
const std::string& Pipeline::label() const { return impl_->label; }

Device::Device() : impl_(std::make_unique<Impl>()) {}

Device::~Device() {
  {
    std::lock_guard lock(impl_->errors->mutex);
    impl_->errors->closing = true;
  }
  if (!impl_->device) return;
  impl_->staging.clear();
  impl_->pipelines.clear();
  impl_->queue = nullptr;
  impl_->device.Destroy();
  impl_->device = nullptr;
}

std::shared_ptr<Device> Device::Open(const DeviceOptions& options) {
  FoundAdapter chosen = Choose(options);
  CheckProcessLimits(chosen.info.software);
  std::shared_ptr<Device> result(new Device());
  Impl& impl = *result->impl_;
  impl.instance_owner = chosen.instance;
  impl.instance = wgpu::Instance(impl.instance_owner->Get());
  impl.options = options;
  impl.info = std::move(chosen.info);
  impl.info.caps = Restrict(impl.info.caps, options);
  if (options.memory_bytes != 0) {
    const uint64_t own = impl.info.memory_bytes;
    impl.info.memory_bytes = own == 0 ? options.memory_bytes : std::min(own, options.memory_bytes);
  }
  const Caps& caps = impl.info.caps;

  std::vector<wgpu::FeatureName> features;
  const auto want = [&](wgpu::FeatureName feature, bool wanted = true) {
    if (wanted && chosen.adapter.HasFeature(feature)) features.push_back(feature);
  };
  want(wgpu::FeatureName::ShaderF16, caps.f16);
  want(wgpu::FeatureName::Subgroups, caps.subgroups);
  want(wgpu::FeatureName::SubgroupSizeControl, caps.subgroups);
  want(wgpu::FeatureName::TimestampQuery);
  want(wgpu::FeatureName::ChromiumExperimentalSubgroupMatrix, !caps.subgroup_matrix.empty());
  want(wgpu::FeatureName::ImplicitDeviceSynchronization);

  // The memory of a software GPU is the process's own: a load past a buffer's end would end it.
  Toggles toggles(options.checked, /*robust=*/impl.info.software);
  // Uses the C API: the C++ header declares these callbacks but cannot convert their arguments.
  WGPUDawnCacheDeviceDescriptor cache = WGPU_DAWN_CACHE_DEVICE_DESCRIPTOR_INIT;
  if (!options.cache_dir.empty()) {
    impl.disk_cache = std::make_unique<DiskCache>(options.cache_dir);
    cache.isolationKey = {"sinter", WGPU_STRLEN};
    cache.dawnLoadCacheDataCallbackInfo.callback = [](size_t key_size, const uint8_t* key,
                                                      size_t value_size, uint8_t* value, void* disk,
                                                      void*) {
      return static_cast<const DiskCache*>(disk)->Load(
          {reinterpret_cast<const std::byte*>(key), key_size},
          {reinterpret_cast<std::byte*>(value), value_size});
    };
    cache.dawnLoadCacheDataCallbackInfo.userdata1 = impl.disk_cache.get();
    cache.dawnStoreCacheDataCallbackInfo.callback = [](size_t key_size, const uint8_t* key,
                                                       size_t value_size, const uint8_t* value,
                                                       void* disk, void*) {
      static_cast<const DiskCache*>(disk)->Store(
          {reinterpret_cast<const std::byte*>(key), key_size},
          {reinterpret_cast<const std::byte*>(value), value_size});
    };
    cache.dawnStoreCacheDataCallbackInfo.userdata1 = impl.disk_cache.get();
    toggles.descriptor.nextInChain = reinterpret_cast<wgpu::ChainedStruct*>(&cache.chain);
  }

  wgpu::Limits limits;
  chosen.adapter.GetLimits(&limits);
  wgpu::DeviceDescriptor descriptor;
  descriptor.nextInChain = &toggles.descriptor;
  descriptor.requiredFeatures = features.data();
  descriptor.requiredFeatureCount = features.size();
  descriptor.requiredLimits = &limits;
  // Callbacks may run after the Device is destroyed, so they hold the error store and not the
  // Device.
  auto* store = new std::shared_ptr<ErrorStore>(impl.errors);
  descriptor.SetUncapturedErrorCallback(
      [](const wgpu::Device&, wgpu::ErrorType, wgpu::StringView message, ErrorStore* errors) {
        std::lock_guard lock(errors->mutex);
        if (errors->first_error.empty()) errors->first_error = ToString(message);
      },
      impl.errors.get());
  descriptor.SetDeviceLostCallback(
      wgpu::CallbackMode::AllowSpontaneous,
      [](const wgpu::Device&, wgpu::DeviceLostReason, wgpu::StringView message,
         std::shared_ptr<ErrorStore>* held) {
        {
          ErrorStore& errors = **held;
          std::lock_guard lock(errors.mutex);
          if (!errors.closing) {
            errors.lost = true;
            errors.lost_message = ToString(message);
          }
        }
        delete held;
      },
      store);

  std::string failure;
  impl.WaitFor(chosen.adapter.RequestDevice(
      &descriptor, wgpu::CallbackMode::WaitAnyOnly,
      [&](wgpu::RequestDeviceStatus status, wgpu::Device device, wgpu::StringView message) {
        if (status == wgpu::RequestDeviceStatus::Success) {
          impl.device = std::move(device);
        } else {
          failure = ToString(message);
        }
      }));
  if (!impl.device) throw Error::MultiLine("gpu", "device on {}: {}", impl.info.name, failure);
  impl.queue = impl.device.GetQueue();
  return result;
}

const AdapterInfo& Device::adapter() const { return impl_->info; }
const Caps& Device::caps() const { return impl_->info.caps; }
const DeviceOptions& Device::options() const { return impl_->options; }
uint64_t Device::allocated_bytes() const { return *impl_->allocated; }

std::optional<uint64_t> Device::MemoryLeft() const {
  std::optional<uint64_t> left;
  const auto at_most = [&](std::optional<uint64_t> bytes) {
    if (bytes) left = std::min(left.value_or(UINT64_MAX), *bytes);
  };
  const AdapterInfo& adapter = impl_->info;
  if (adapter.memory_bytes != 0)
    at_most(adapter.memory_bytes - std::min(adapter.memory_bytes, allocated_bytes()));
  if (adapter.shares_main_memory) at_most(SystemMemoryLeft());
  if (adapter.software) at_most(SoftwareMemoryLeft());
  return left;
}

bool Device::Impl::HasRoomFor(uint64_t bytes) const {
  const uint64_t total = options.memory_bytes;
  if (total != 0 && *allocated + options.memory_in_use_bytes + bytes > total) return false;
  return !info.software || bytes <= SoftwareMemoryLeft().value_or(UINT64_MAX);
}

void Device::Impl::ThrowNoMemory(std::string_view label, uint64_t bytes) const {
  throw OutOfMemoryError("gpu",
                         "buffer '{}': got no memory for {} ({} in use), want a GPU with more, a "
                         "shorter maximum length or a smaller model",
                         label, BytesText(bytes), BytesText(*allocated));
}

wgpu::Buffer Device::Impl::NewBuffer(uint64_t bytes, wgpu::BufferUsage usage,
                                     std::string_view label, bool mapped) {
  const uint64_t limit = info.caps.limits.max_buffer_size;
  if (bytes > limit) {
    throw ResourceError("gpu",
                        "buffer '{}': got {} bytes, want at most {} (this adapter's largest)",
                        label, bytes, limit);
  }
  if (!HasRoomFor(bytes)) ThrowNoMemory(label, bytes);
  wgpu::BufferDescriptor descriptor;
  descriptor.label = label;
  descriptor.size = bytes;
  descriptor.usage = usage;
  descriptor.mappedAtCreation = mapped;
  // Reports an out-of-memory error here and not in a later Check(), because using a buffer whose
  // creation failed would crash.
  std::unique_lock scope(scope_mutex);
  device.PushErrorScope(wgpu::ErrorFilter::OutOfMemory);
  wgpu::Buffer buffer = device.CreateBuffer(&descriptor);
  std::string failure;
  WaitFor(device.PopErrorScope(
      wgpu::CallbackMode::WaitAnyOnly,
      [](wgpu::PopErrorScopeStatus, wgpu::ErrorType type, wgpu::StringView message,
         std::string* failed) {
        if (type != wgpu::ErrorType::NoError) *failed = ToString(message);
      },
      &failure));
  scope.unlock();
  if (!buffer || !failure.empty()) {
    errors->Throw();
    ThrowNoMemory(label, bytes);
  }
  return buffer;
}

Buffer Device::CreateBuffer(uint64_t bytes, std::string_view label) {
  const uint64_t size = std::max<uint64_t>(16, (bytes + 15) / 16 * 16);
  auto impl = std::make_shared<Buffer::Impl>();
  impl->buffer = impl_->NewBuffer(size,
                                  wgpu::BufferUsage::Storage | wgpu::BufferUsage::Uniform |
                                      wgpu::BufferUsage::CopySrc | wgpu::BufferUsage::CopyDst,
                                  label);
  impl->size = size;
  impl->allocated = impl_->allocated;
  *impl->allocated += size;
  return Buffer(std::move(impl));
}

Buffer Device::CreateUniformBuffer(std::span<const std::byte> bytes, std::string_view label) {
  const uint64_t size = std::max<uint64_t>(16, (bytes.size() + 15) / 16 * 16);
  auto impl = std::make_shared<Buffer::Impl>();
  impl->buffer = impl_->NewBuffer(
      size, wgpu::BufferUsage::Uniform | wgpu::BufferUsage::Storage | wgpu::BufferUsage::CopyDst,
      label);
  impl->size = size;
  impl->allocated = impl_->allocated;
  *impl->allocated += size;
  Buffer buffer(std::move(impl));
  Upload(buffer, 0, bytes);
  return buffer;
}

void Device::Submit(const CommandList& list) {
  wgpu::CommandEncoder encoder = impl_->device.CreateCommandEncoder();
  Encode(list, encoder);
  const wgpu::CommandBuffer commands = encoder.Finish();
  impl_->queue.Submit(1, &commands);
}

void Device::Wait() {
  impl_->WaitFor(impl_->queue.OnSubmittedWorkDone(
      wgpu::CallbackMode::WaitAnyOnly, [](wgpu::QueueWorkDoneStatus, wgpu::StringView) {}));
  Check();
}

void Device::Check() {
  impl_->instance.ProcessEvents();
  impl_->errors->Throw();
}

void Device::SimulateLoss() {
  impl_->device.ForceLoss(wgpu::DeviceLostReason::Unknown, "simulated");
  impl_->instance.ProcessEvents();
}

}  // namespace sinter::gpu
