// Records, encodes and profiles command lists.

#include "gpu/command_list.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "gpu/dawn.h"

namespace sinter::gpu {
namespace {

// Capacity of one query set, which is WebGPU's maximum. Each dispatch takes two timestamps.
constexpr uint32_t kQueriesPerSet = 4096;

void EncodeCopy(const CommandList::Impl::Command& command, const wgpu::CommandEncoder& encoder) {
  if (command.kind == CommandList::Impl::Kind::kCopy) {
    encoder.CopyBufferToBuffer(command.from, command.from_offset, command.to, command.to_offset,
                               command.bytes);
  } else {
    encoder.ClearBuffer(command.to, command.to_offset, command.bytes);
  }
}

void EncodeDispatch(const CommandList::Impl::Command& command,
                    const wgpu::ComputePassEncoder& pass) {
  pass.SetPipeline(command.pipeline->pipeline);
  pass.SetBindGroup(0, command.group);
  pass.DispatchWorkgroups(command.workgroups[0], command.workgroups[1], command.workgroups[2]);
}

}  // namespace

CommandList::CommandList(Device& device) : impl_(std::make_unique<Impl>()) {
  impl_->device = &device;
}
CommandList::~CommandList() = default;
CommandList::CommandList(CommandList&&) noexcept = default;
CommandList& CommandList::operator=(CommandList&&) noexcept = default;

void CommandList::Dispatch(const Pipeline& pipeline, std::span<const Binding> bindings,
                           std::array<uint32_t, 3> workgroups, std::string_view label) {
  SINTER_CHECK(pipeline, "dispatch '{}' without a pipeline", label);
  Impl::Command command;
  command.kind = Impl::Kind::kDispatch;
  command.pipeline = pipeline.impl();
  command.workgroups = workgroups;
  command.label = label.empty() ? pipeline.label() : std::string(label);
  std::vector<wgpu::BindGroupEntry> entries;
  entries.reserve(bindings.size());
  for (const Binding& binding : bindings) {
    SINTER_CHECK(binding.buffer, "dispatch '{}': binding {} has no buffer", command.label,
                 binding.binding);
    wgpu::BindGroupEntry& entry = entries.emplace_back();
    entry.binding = binding.binding;
    entry.buffer = binding.buffer.impl()->buffer;
    entry.offset = binding.offset;
    entry.size = binding.size != 0 ? binding.size : binding.buffer.size_bytes() - binding.offset;
  }
  wgpu::BindGroupDescriptor descriptor;
  descriptor.label = std::string_view(command.label);
  descriptor.layout = command.pipeline->layout;
  descriptor.entries = entries.data();
  descriptor.entryCount = entries.size();
  command.group = impl_->device->impl().device.CreateBindGroup(&descriptor);
  impl_->commands.push_back(std::move(command));
}

void CommandList::Copy(const Buffer& from, uint64_t from_offset, const Buffer& to,
                       uint64_t to_offset, uint64_t bytes) {
  SINTER_CHECK(from_offset % 4 == 0 && to_offset % 4 == 0 && bytes % 4 == 0,
               "copy of {} bytes from {} to {}", bytes, from_offset, to_offset);
  Impl::Command command;
  command.kind = Impl::Kind::kCopy;
  command.from = from.impl()->buffer;
  command.from_offset = from_offset;
  command.to = to.impl()->buffer;
  command.to_offset = to_offset;
  command.bytes = bytes;
  impl_->commands.push_back(std::move(command));
}

void CommandList::Clear(const Buffer& buffer, uint64_t offset, uint64_t bytes) {
  Impl::Command command;
  command.kind = Impl::Kind::kClear;
  command.to = buffer.impl()->buffer;
  command.to_offset = offset;
  command.bytes = bytes;
  impl_->commands.push_back(std::move(command));
}

void CommandList::Append(const CommandList& other) {
  impl_->commands.insert(impl_->commands.end(), other.impl_->commands.begin(),
                         other.impl_->commands.end());
}

size_t CommandList::num_dispatches() const {
  return static_cast<size_t>(
      std::count_if(impl_->commands.begin(), impl_->commands.end(),
                    [](const auto& command) { return command.kind == Impl::Kind::kDispatch; }));
}

std::vector<std::string> CommandList::labels() const {
  std::vector<std::string> labels;
  for (const Impl::Command& command : impl_->commands) {
    if (command.kind == Impl::Kind::kDispatch) labels.push_back(command.label);
  }
  return labels;
}

void Encode(const CommandList& list, const wgpu::CommandEncoder& encoder) {
  wgpu::ComputePassEncoder pass;
  for (const CommandList::Impl::Command& command : list.impl().commands) {
    if (command.kind == CommandList::Impl::Kind::kDispatch) {
      if (!pass) pass = encoder.BeginComputePass();
      EncodeDispatch(command, pass);
      continue;
    }
    if (pass) {
      pass.End();
      pass = nullptr;
    }
    EncodeCopy(command, encoder);
  }
  if (pass) pass.End();
}

std::vector<double> Device::SubmitProfiled(const CommandList& list) {
  std::vector<double> nanoseconds;
  for (const DispatchSpan& span : SubmitTraced(list)) nanoseconds.push_back(span.nanoseconds);
  return nanoseconds;
}

std::vector<DispatchSpan> Device::SubmitTraced(const CommandList& list) {
  if (!caps().timestamps) {
    throw Error("gpu", "profiling: got an adapter without timestamp queries, want one with them");
  }
  const size_t dispatches = list.num_dispatches();
  const auto total = static_cast<uint32_t>(2 * dispatches);
  if (total == 0) {
    Submit(list);
    Wait();
    return {};
  }
  Buffer resolved;
  {
    auto impl = std::make_shared<Buffer::Impl>();
    impl->size = uint64_t{total} * 8;
    impl->buffer = impl_->NewBuffer(
        impl->size, wgpu::BufferUsage::QueryResolve | wgpu::BufferUsage::CopySrc, "timestamps");
    resolved = Buffer(std::move(impl));
  }
  std::vector<wgpu::QuerySet> sets;
  for (uint32_t first = 0; first < total; first += kQueriesPerSet) {
    wgpu::QuerySetDescriptor descriptor;
    descriptor.type = wgpu::QueryType::Timestamp;
    descriptor.count = std::min(kQueriesPerSet, total - first);
    sets.push_back(impl_->device.CreateQuerySet(&descriptor));
  }
  wgpu::CommandEncoder encoder = impl_->device.CreateCommandEncoder();
  uint32_t query = 0;
  for (const CommandList::Impl::Command& command : list.impl().commands) {
    if (command.kind != CommandList::Impl::Kind::kDispatch) {
      EncodeCopy(command, encoder);
      continue;
    }
    wgpu::PassTimestampWrites writes;
    writes.querySet = sets[query / kQueriesPerSet];
    writes.beginningOfPassWriteIndex = query % kQueriesPerSet;
    writes.endOfPassWriteIndex = query % kQueriesPerSet + 1;
    wgpu::ComputePassDescriptor descriptor;
    descriptor.timestampWrites = &writes;
    wgpu::ComputePassEncoder pass = encoder.BeginComputePass(&descriptor);
    EncodeDispatch(command, pass);
    pass.End();
    query += 2;
  }
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto first = static_cast<uint32_t>(i * kQueriesPerSet);
    encoder.ResolveQuerySet(sets[i], 0, std::min(kQueriesPerSet, total - first),
                            resolved.impl()->buffer, first * 8);
  }
  const wgpu::CommandBuffer commands = encoder.Finish();
  impl_->queue.Submit(1, &commands);
  const std::vector<std::byte> bytes = Download(resolved, 0, resolved.size_bytes());
  std::vector<DispatchSpan> spans;
  for (const CommandList::Impl::Command& command : list.impl().commands) {
    if (command.kind != CommandList::Impl::Kind::kDispatch) continue;
    uint64_t ticks[2];
    std::memcpy(ticks, bytes.data() + spans.size() * sizeof(ticks), sizeof(ticks));
    spans.push_back({command.label, command.pipeline->label, static_cast<double>(ticks[0]),
                     ticks[1] > ticks[0] ? static_cast<double>(ticks[1] - ticks[0]) : 0.0});
  }
  return spans;
}

}  // namespace sinter::gpu
