#include "run/program.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "kernels/layer_chain/layer_chain.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/shader_source.h"

namespace sinter::run {

compile::ExternalPlaces PlacesOf(const Externals& externals) {
  compile::ExternalPlaces places;
  std::vector<gpu::Buffer> memories;
  for (const auto& [name, range] : externals) {
    const auto it = std::ranges::find(memories, range.buffer);
    places[name] = {static_cast<int>(it - memories.begin()), range.offset};
    if (it == memories.end()) memories.push_back(range.buffer);
  }
  return places;
}

Program::Program(const std::shared_ptr<gpu::Device>& device, WeightStore& weights,
                 const graph::Graph& graph, const Externals& externals,
                 const compile::LowerOptions& options)
    : Program(std::make_shared<CompiledProgram>(
                  device, weights, graph,
                  compile::Lower(graph, device->caps(), PlacesOf(externals), options)),
              externals) {}

Program::Program(std::shared_ptr<const CompiledProgram> compiled, Externals externals)
    : compiled_(std::move(compiled)),
      device_(compiled_->device()),
      externals_(std::move(externals)),
      buffers_(compiled_->buffers_) {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const compile::BufferInfo& info = lowered().buffers[i];
    if (info.kind != compile::BufferInfo::Kind::kExternal) continue;
    auto it = externals_.find(info.name);
    if (it == externals_.end()) {
      if (compiled_->inputs_.contains(info.name)) {
        throw Error("run", "input '{}': got no buffer, want one of {} bytes", info.name,
                    info.bytes);
      }
      it = externals_.emplace(info.name, device_->CreateBuffer(info.bytes, info.name)).first;
    }
    buffers_[i] = it->second;
    if (buffers_[i].size_bytes() < info.bytes) {
      throw Error("run", "'{}': got a buffer of {} bytes, want {}", info.name,
                  buffers_[i].size_bytes(), info.bytes);
    }
  }
  captured_ = Record();
}

gpu::Binding Program::Bind(const compile::Operand& operand) const {
  const compile::BufferRef& ref = operand.buffer;
  const gpu::BufferRange& range = buffers_[static_cast<size_t>(ref.buffer)];
  uint64_t bytes = ref.bytes;
  if (bytes == 0 && range.size != 0) bytes = range.size - ref.offset;
  return {operand.role.binding, range.buffer, range.offset + ref.offset, bytes};
}

std::vector<gpu::Binding> Program::BindingsOf(size_t i) const {
  const compile::Dispatch& dispatch = lowered().dispatches[i];
  std::vector<gpu::Binding> bindings;
  if (!dispatch.plan.params.empty())
    bindings.push_back(
        {0, compiled_->params_, compiled_->params_offset_[i], dispatch.plan.params.size()});
  for (const compile::Operand& operand : dispatch.operands) {
    if (operand.IsBoundBy(dispatch.plan)) bindings.push_back(Bind(operand));
  }
  return bindings;
}

gpu::CommandList Program::Record() const {
  gpu::CommandList list(*device_);
  for (size_t i = 0; i < num_dispatches(); ++i) {
    const compile::Dispatch& dispatch = lowered().dispatches[i];
    list.Dispatch(compiled_->pipelines_[i], BindingsOf(i), dispatch.plan.workgroups,
                  dispatch.label);
  }
  return list;
}

Program::Recorded Program::RecordWith(const compile::Alternative& alternative,
                                      std::span<const size_t> which) const {
  Recorded recorded = {gpu::CommandList(*device_), {}};
  gpu::CommandList& list = recorded.list;
  gpu::Buffer counters;
  std::map<uint32_t, gpu::Buffer> results;  // by binding
  if (alternative.plan.scratch_words > 0) {
    counters = device_->CreateBuffer(alternative.plan.scratch_words * sizeof(uint32_t), "counters");
    list.Clear(counters, 0, counters.size_bytes());
  }
  const wgsl::Shader spec = kernels::ExpandPlan(alternative.plan);
  const gpu::Pipeline pipeline = device_->GetPipelines({&spec, 1})[0];
  gpu::Buffer params;
  if (!alternative.plan.params.empty())
    params = device_->CreateUniformBuffer(alternative.plan.params, "params");
  for (const size_t i : which) {
    const compile::Dispatch& dispatch = lowered().dispatches[i];
    // Each chain gets rows of its own.
    if (dispatch.is_chain()) params = device_->CreateUniformBuffer(dispatch.plan.params, "params");
    std::vector<gpu::Binding> bindings;
    if (params) bindings.push_back({0, params});
    for (const compile::Operand& operand : dispatch.operands) {
      if (!operand.IsBoundBy(alternative.plan)) continue;
      const compile::BufferRef& ref = operand.buffer;
      const uint32_t binding = operand.role.binding;
      const compile::BufferInfo& info = lowered().buffers[static_cast<size_t>(ref.buffer)];
      if (info.kind == compile::BufferInfo::Kind::kCounters) {
        bindings.push_back({binding, counters});
      } else if (info.kind == compile::BufferInfo::Kind::kRows) {
        if (!recorded.rows) recorded.rows = compiled_->MakeRows(info);
        bindings.push_back({binding, recorded.rows, ref.offset, ref.bytes});
      } else if (info.kind == compile::BufferInfo::Kind::kIntermediate && operand.writes()) {
        gpu::Buffer& result = results[binding];
        if (!result) result = device_->CreateBuffer(info.bytes, "result");
        bindings.push_back({binding, result});
      } else {
        bindings.push_back(Bind(operand));
      }
    }
    list.Dispatch(pipeline, bindings, alternative.plan.workgroups, dispatch.label);
  }
  return recorded;
}

void Program::Run(const RunOptions& options) {
  if (options.capture) {
    device_->Submit(*captured_);
  } else {
    device_->Submit(Record());
  }
  CheckRange();
}

void Program::CheckRange() const {
  const gpu::Buffer& faults = compiled_->faults();
  if (!faults) return;
  uint32_t word = 0;
  const std::vector<std::byte> bytes = device_->Download(faults, 0, sizeof(word));
  std::memcpy(&word, bytes.data(), sizeof(word));
  if (word == 0) return;
  // Other sequences that share the program's memory go on.
  device_->Upload(faults, 0, std::vector<std::byte>(sizeof(word)));
  for (const compile::Dispatch& dispatch : lowered().dispatches) {
    if (std::ranges::find(dispatch.nodes, word - 1) == dispatch.nodes.end()) continue;
    throw Error("run",
                "{}: got a result of int64 beyond 32 bits, want -2147483648 to 2147483647: on the "
                "GPU integers have 32 bits",
                dispatch.label);
  }
}

bool Program::IsStuck(const gpu::Buffer& rows) const {
  if (!rows) return false;
  const std::vector<std::byte> word =
      device_->Download(rows, kernels::kChainStuckWord * sizeof(uint32_t), sizeof(uint32_t));
  return word != std::vector<std::byte>(sizeof(uint32_t));
}

void Program::CheckProgress() const {
  if (!IsStuck()) return;
  throw Error("run",
              "fusion level 'chain': got workgroups that waited in vain for others of the same "
              "dispatch, want an adapter that runs them all at once: use --fusion layer");
}

std::vector<DispatchTime> Program::Profile() {
  std::vector<DispatchTime> times;
  for (gpu::DispatchSpan& span : device_->SubmitTraced(*captured_)) {
    times.push_back({std::move(span.label), std::move(span.pipeline), span.nanoseconds,
                     span.begin_nanoseconds});
  }
  return times;
}

const gpu::Buffer& Program::external(const std::string& name) const {
  const auto it = externals_.find(name);
  SINTER_CHECK(it != externals_.end(), "'{}' is neither input nor output of the program", name);
  return it->second.buffer;
}

}  // namespace sinter::run
