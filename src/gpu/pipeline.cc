// Compiles shaders: all of a batch at once, on Dawn's own threads.

#include <memory>

#include "base/error.h"
#include "gpu/dawn.h"
#include "wgsl/message.h"

namespace sinter::gpu {
namespace {

// One compilation under way.
struct Compilation {
  const wgsl::Shader* spec = nullptr;
  wgpu::ComputePipeline pipeline;
  wgpu::Future future;
  std::string failure;
};

}  // namespace

std::vector<Pipeline> Device::GetPipelines(std::span<const wgsl::Shader> specs) {
  Impl& impl = *impl_;
  std::lock_guard lock(impl.pipelines_mutex);
  std::map<std::string_view, std::unique_ptr<Compilation>> running;
  for (const wgsl::Shader& spec : specs) {
    if (impl.pipelines.contains(spec.label) || running.contains(spec.label)) continue;
    auto compilation = std::make_unique<Compilation>();
    compilation->spec = &spec;

    wgpu::ShaderSourceWGSL source;
    source.code = std::string_view(spec.source.source);
    wgpu::ShaderModuleDescriptor module_descriptor;
    module_descriptor.nextInChain = &source;
    module_descriptor.label = std::string_view(spec.label);
    std::unique_lock scope(impl.scope_mutex);
    impl.device.PushErrorScope(wgpu::ErrorFilter::Validation);
    const wgpu::ShaderModule module = impl.device.CreateShaderModule(&module_descriptor);
    impl.WaitFor(impl.device.PopErrorScope(
        wgpu::CallbackMode::WaitAnyOnly,
        [](wgpu::PopErrorScopeStatus, wgpu::ErrorType type, wgpu::StringView message,
           Compilation* failed) {
          if (type != wgpu::ErrorType::NoError) failed->failure = ToString(message);
        },
        compilation.get()));
    scope.unlock();
    if (!compilation->failure.empty()) {
      throw Error("wgsl", "{}: {}", spec.label, MapMessage(spec.source, compilation->failure));
    }

    wgpu::ComputePipelineDescriptor descriptor;
    descriptor.label = std::string_view(spec.label);
    descriptor.compute.module = module;
    descriptor.compute.entryPoint = "main";
    compilation->future = impl.device.CreateComputePipelineAsync(
        &descriptor, wgpu::CallbackMode::WaitAnyOnly,
        [](wgpu::CreatePipelineAsyncStatus status, wgpu::ComputePipeline pipeline,
           wgpu::StringView message, Compilation* compiled) {
          if (status == wgpu::CreatePipelineAsyncStatus::Success) {
            compiled->pipeline = std::move(pipeline);
          } else {
            compiled->failure = ToString(message);
          }
        },
        compilation.get());
    running.emplace(spec.label, std::move(compilation));
  }
  // Every callback must have come before a Compilation may go, so failures are raised after the
  // last wait.
  const Compilation* failed = nullptr;
  for (auto& [label, compilation] : running) {
    impl.WaitFor(compilation->future);
    if (!compilation->pipeline) {
      if (failed == nullptr) failed = compilation.get();
      continue;
    }
    auto pipeline = std::make_shared<Pipeline::Impl>();
    pipeline->label = label;
    pipeline->pipeline = compilation->pipeline;
    pipeline->layout = compilation->pipeline.GetBindGroupLayout(0);
    impl.pipelines.emplace(label, Pipeline(std::move(pipeline)));
    ++impl.pipelines_created;
  }
  if (failed != nullptr) {
    impl.errors->Throw();
    throw Error("wgsl", "{}: {}", failed->spec->label,
                MapMessage(failed->spec->source, failed->failure));
  }
  std::vector<Pipeline> pipelines;
  for (const wgsl::Shader& spec : specs)
    pipelines.push_back(impl.pipelines.find(spec.label)->second);
  return pipelines;
}

int Device::pipelines_created() const {
  std::lock_guard lock(impl_->pipelines_mutex);
  return impl_->pipelines_created;
}

}  // namespace sinter::gpu
