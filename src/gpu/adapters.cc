// Finds the adapters and reads their properties, limits and features.

#include <dawn/native/DawnNative.h>
#include <fmt/format.h>

#include <algorithm>

#include "gpu/dawn.h"
#include "gpu/process_limits.h"

namespace sinter::gpu {
namespace {

DType ComponentType(wgpu::SubgroupMatrixComponentType type) {
  switch (type) {
    case wgpu::SubgroupMatrixComponentType::F32:
      return DType::kF32;
    case wgpu::SubgroupMatrixComponentType::F16:
      return DType::kF16;
    case wgpu::SubgroupMatrixComponentType::U32:
      return DType::kU32;
    case wgpu::SubgroupMatrixComponentType::I32:
      return DType::kI32;
    case wgpu::SubgroupMatrixComponentType::U8:
      return DType::kU8;
    case wgpu::SubgroupMatrixComponentType::I8:
      return DType::kI8;
    default:
      return DType::kUndefined;
  }
}

std::string_view TypeName(wgpu::AdapterType type) {
  switch (type) {
    case wgpu::AdapterType::DiscreteGPU:
      return "discrete GPU";
    case wgpu::AdapterType::IntegratedGPU:
      return "integrated GPU";
    case wgpu::AdapterType::CPU:
      return "CPU";
    default:
      return "unknown";
  }
}

std::string_view BackendName(wgpu::BackendType backend) {
  switch (backend) {
    case wgpu::BackendType::Vulkan:
      return "Vulkan";
    case wgpu::BackendType::Metal:
      return "Metal";
    case wgpu::BackendType::D3D12:
      return "D3D12";
    case wgpu::BackendType::OpenGL:
      return "OpenGL";
    case wgpu::BackendType::OpenGLES:
      return "OpenGL ES";
    default:
      return "other";
  }
}

// Features that Sinter reports for an adapter, with their WebGPU names.
constexpr std::pair<wgpu::FeatureName, std::string_view> kFeatures[] = {
    {wgpu::FeatureName::ShaderF16, "shader-f16"},
    {wgpu::FeatureName::Subgroups, "subgroups"},
    {wgpu::FeatureName::SubgroupSizeControl, "subgroup-size-control"},
    {wgpu::FeatureName::TimestampQuery, "timestamp-query"},
    {wgpu::FeatureName::ChromiumExperimentalTimestampQueryInsidePasses,
     "chromium-experimental-timestamp-query-inside-passes"},
    {wgpu::FeatureName::ChromiumExperimentalSubgroupMatrix,
     "chromium-experimental-subgroup-matrix"},
    {wgpu::FeatureName::ImplicitDeviceSynchronization, "implicit-device-synchronization"},
    {wgpu::FeatureName::BufferMapExtendedUsages, "buffer-map-extended-usages"},
    {wgpu::FeatureName::HostMappedPointer, "host-mapped-pointer"},
};

AdapterInfo ReadAdapter(const wgpu::Adapter& adapter) {
  AdapterInfo result;
  const bool has_matrix = adapter.HasFeature(wgpu::FeatureName::ChromiumExperimentalSubgroupMatrix);
  wgpu::AdapterPropertiesSubgroupMatrixConfigs configs;
  wgpu::AdapterPropertiesMemoryHeaps heaps;
  wgpu::AdapterInfo info;
  if (has_matrix) info.nextInChain = &configs;
  if (adapter.HasFeature(wgpu::FeatureName::AdapterPropertiesMemoryHeaps)) {
    heaps.nextInChain = info.nextInChain;
    info.nextInChain = &heaps;
  }
  adapter.GetInfo(&info);
  result.name = ToString(info.device);
  result.vendor = ToString(info.vendor);
  result.architecture = ToString(info.architecture);
  result.driver = ToString(info.description);
  result.type = TypeName(info.adapterType);
  result.backend = BackendName(info.backendType);
  result.software = info.adapterType == wgpu::AdapterType::CPU;
  result.shares_main_memory =
      result.software || info.adapterType == wgpu::AdapterType::IntegratedGPU;
  for (size_t i = 0; i < heaps.heapCount; ++i) {
    if ((heaps.heapInfo[i].properties & wgpu::HeapProperty::DeviceLocal) !=
        wgpu::HeapProperty::None)
      result.memory_bytes = std::max(result.memory_bytes, heaps.heapInfo[i].size);
  }
  for (const auto& [feature, name] : kFeatures) {
    if (adapter.HasFeature(feature)) result.features.emplace_back(name);
  }

  wgpu::Limits limits;
  adapter.GetLimits(&limits);
  Caps& caps = result.caps;
  caps.software = result.software;
  caps.f16 = adapter.HasFeature(wgpu::FeatureName::ShaderF16);
  caps.subgroups = adapter.HasFeature(wgpu::FeatureName::Subgroups);
  caps.subgroup_min_size = info.subgroupMinSize;
  caps.subgroup_max_size = info.subgroupMaxSize;
  caps.timestamps = adapter.HasFeature(wgpu::FeatureName::TimestampQuery);
  if (has_matrix) {
    for (size_t i = 0; i < configs.configCount; ++i) {
      const wgpu::SubgroupMatrixConfig& config = configs.configs[i];
      caps.subgroup_matrix.push_back({ComponentType(config.componentType),
                                      ComponentType(config.resultComponentType), config.M, config.N,
                                      config.K});
    }
  }
  caps.limits = {.max_buffer_size = limits.maxBufferSize,
                 .max_storage_binding_bytes = limits.maxStorageBufferBindingSize,
                 .max_storage_buffers_per_stage = limits.maxStorageBuffersPerShaderStage,
                 .max_workgroup_storage_bytes = limits.maxComputeWorkgroupStorageSize,
                 .max_invocations_per_workgroup = limits.maxComputeInvocationsPerWorkgroup,
                 .max_workgroup_size_x = limits.maxComputeWorkgroupSizeX,
                 .max_workgroups_per_dimension = limits.maxComputeWorkgroupsPerDimension,
                 .min_storage_offset_alignment = limits.minStorageBufferOffsetAlignment,
                 .min_uniform_offset_alignment = limits.minUniformBufferOffsetAlignment};
  // These minimums are WebGPU's default limits. An adapter below them is in compatibility mode, and
  // Sinter's kernels do not fit it.
  if (limits.maxStorageBuffersPerShaderStage < 8) {
    result.refused = fmt::format("storage buffers per shader stage: got {}, want at least 8",
                                 limits.maxStorageBuffersPerShaderStage);
  } else if (limits.maxComputeInvocationsPerWorkgroup < 256 ||
             limits.maxComputeWorkgroupSizeX < 256) {
    result.refused = fmt::format("invocations per workgroup: got {}, want at least 256",
                                 limits.maxComputeInvocationsPerWorkgroup);
  } else if (limits.maxComputeWorkgroupStorageSize < 16384) {
    result.refused = fmt::format("workgroup storage: got {} bytes, want at least 16384",
                                 limits.maxComputeWorkgroupStorageSize);
  }
  return result;
}

int Rank(const AdapterInfo& info) {
  if (!info.refused.empty()) return 4;
  if (info.type == "discrete GPU") return 0;
  if (info.type == "integrated GPU") return 1;
  return info.software ? 3 : 2;
}

}  // namespace

Toggles::Toggles(bool checked, bool robust) {
  enabled = {"allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"};
  disabled = {"timestamp_quantization"};
  if (!checked) {
    enabled.insert(enabled.end(), {"skip_validation", "disable_workgroup_init",
                                   "disable_polyfills_on_integer_div_and_mod"});
    (robust ? disabled : enabled).push_back("disable_robustness");
    disabled.insert(disabled.end(),
                    {"lazy_clear_resource_on_first_use", "enable_spirv_validation"});
  }
  descriptor.enabledToggles = enabled.data();
  descriptor.enabledToggleCount = enabled.size();
  descriptor.disabledToggles = disabled.data();
  descriptor.disabledToggleCount = disabled.size();
}

std::shared_ptr<dawn::native::Instance> SharedInstance() {
  static std::mutex mutex;
  static std::weak_ptr<dawn::native::Instance> shared;
  std::lock_guard lock(mutex);
  std::shared_ptr<dawn::native::Instance> instance = shared.lock();
  if (!instance) {
    Toggles toggles(/*checked=*/true);
    constexpr wgpu::InstanceFeatureName kFeature = wgpu::InstanceFeatureName::TimedWaitAny;
    wgpu::InstanceDescriptor descriptor;
    descriptor.nextInChain = &toggles.descriptor;
    descriptor.requiredFeatureCount = 1;
    descriptor.requiredFeatures = &kFeature;
    instance = std::make_shared<dawn::native::Instance>(&descriptor);
    shared = instance;
  }
  return instance;
}

std::vector<FoundAdapter> FindAdapters(bool checked) {
  CheckAddressSpaceForDrivers();
  Toggles toggles(checked);
  wgpu::RequestAdapterOptions options;
  options.nextInChain = &toggles.descriptor;
  options.featureLevel = wgpu::FeatureLevel::Core;
#if defined(__linux__)
  options.backendType = wgpu::BackendType::Vulkan;
#endif
  const std::shared_ptr<dawn::native::Instance> instance = SharedInstance();
  std::vector<FoundAdapter> found;
  for (const dawn::native::Adapter& native : instance->EnumerateAdapters(&options)) {
    wgpu::Adapter adapter(native.Get());
    found.push_back({instance, adapter, ReadAdapter(adapter)});
    found.back().info.caps.packed_dot_product =
        wgpu::Instance(instance->Get())
            .HasWGSLLanguageFeature(wgpu::WGSLLanguageFeatureName::Packed4x8IntegerDotProduct);
  }
  std::stable_sort(found.begin(), found.end(), [](const FoundAdapter& a, const FoundAdapter& b) {
    return Rank(a.info) < Rank(b.info);
  });
  for (size_t i = 0; i < found.size(); ++i) found[i].info.index = static_cast<int>(i);
  return found;
}

std::vector<AdapterInfo> ListAdapters() {
  std::vector<AdapterInfo> infos;
  for (FoundAdapter& found : FindAdapters(/*checked=*/false))
    infos.push_back(std::move(found.info));
  return infos;
}

}  // namespace sinter::gpu
