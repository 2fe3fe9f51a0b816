// Compiles shaders in parallel batches on Dawn's threads.

#include <memory>

#include "base/error.h"
#include "gpu/dawn.h"
#include "wgsl/message.h"

namespace sinter::gpu {
namespace {

// Compilation in progress.
struct Compilation {
  const wgsl::Shader* shader = nullptr;
  wgpu::ComputePipeline pipeline;
  wgpu::Future future;
  std::string failure;
};

// Starts the compilation of a shader. Throws Error if its text is not valid WGSL.
std::unique_ptr<Compilation> Start(Device::Impl& impl, const wgsl::Shader& shader) {
  auto compilation = std::make_unique<Compilation>();
  compilation->shader = &shader;
  wgpu::ShaderSourceWGSL source;
  source.code = std::string_view(shader.source.source);
  wgpu::ShaderModuleDescriptor module_descriptor;
  module_descriptor.nextInChain = &source;
  module_descriptor.label = std::string_view(shader.label);
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
    throw Error::MultiLine("wgsl", "{}: {}", shader.label,
                           MapMessage(shader.source, compilation->failure));
  }
  wgpu::ComputePipelineDescriptor descriptor;
  descriptor.label = std::string_view(shader.label);
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
  return compilation;
}

}  // namespace

std::vector<Pipeline> Device::GetPipelines(std::span<const wgsl::Shader> shaders) {
  Impl& impl = *impl_;
  // Shaders that this call compiles. Concurrent calls may compile the others.
  std::vector<const wgsl::Shader*> own;
  {
    std::lock_guard lock(impl.pipelines_mutex);
    for (const wgsl::Shader& shader : shaders) {
      if (!impl.pipelines.contains(shader.label) && impl.compiling.insert(shader.label).second)
        own.push_back(&shader);
    }
    impl.compilations += static_cast<int>(own.size());
  }
  // Ends the compilation of a shader. A failed one leaves no pipeline, so a call that waits for the
  // shader compiles it itself.
  const auto finish = [&](const wgsl::Shader& shader, wgpu::ComputePipeline compiled) {
    {
      std::lock_guard lock(impl.pipelines_mutex);
      impl.compiling.erase(shader.label);
      ++impl.compilations_done;
      if (compiled) {
        auto pipeline = std::make_shared<Pipeline::Impl>();
        pipeline->label = shader.label;
        pipeline->layout = compiled.GetBindGroupLayout(0);
        pipeline->pipeline = std::move(compiled);
        impl.pipelines.emplace(shader.label, Pipeline(std::move(pipeline)));
        ++impl.pipelines_created;
      }
    }
    impl.pipelines_changed.notify_all();
  };
  std::vector<std::unique_ptr<Compilation>> running;
  std::exception_ptr error;
  for (const wgsl::Shader* shader : own) {
    try {
      if (!error) {
        running.push_back(Start(impl, *shader));
        continue;
      }
    } catch (...) {
      error = std::current_exception();
    }
    finish(*shader, nullptr);
  }
  // Callbacks write into the Compilations, so this loop waits for all of them before it rethrows
  // any error.
  for (const auto& compilation : running) {
    impl.WaitFor(compilation->future);
    const wgsl::Shader& shader = *compilation->shader;
    finish(shader, compilation->pipeline);
    if (compilation->pipeline || error) continue;
    try {
      impl.errors->Throw();
      throw Error::MultiLine("wgsl", "{}: {}", shader.label,
                             MapMessage(shader.source, compilation->failure));
    } catch (...) {
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);

  std::vector<Pipeline> pipelines;
  for (const wgsl::Shader& shader : shaders) {
    std::unique_lock lock(impl.pipelines_mutex);
    impl.pipelines_changed.wait(lock, [&] { return !impl.compiling.contains(shader.label); });
    const auto it = impl.pipelines.find(shader.label);
    if (it != impl.pipelines.end()) {
      pipelines.push_back(it->second);
      continue;
    }
    // The other call failed to compile this shader. Compiling it again throws the reason here too.
    lock.unlock();
    pipelines.push_back(GetPipelines({&shader, 1})[0]);
  }
  return pipelines;
}

int Device::pipelines_created() const {
  std::lock_guard lock(impl_->pipelines_mutex);
  return impl_->pipelines_created;
}

CompileProgress Device::compile_progress() const {
  std::lock_guard lock(impl_->pipelines_mutex);
  return {impl_->compilations_done, impl_->compilations};
}

}  // namespace sinter::gpu
