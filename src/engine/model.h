// A model on a device: what all its sequences share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compile/lowering.h"
#include "engine/program_set.h"
#include "engine/work_gate.h"
#include "gpu/device.h"
#include "graph/graph.h"
#include "model/genai_config.h"
#include "model/model_folder.h"
#include "model/rewrite.h"
#include "run/plan_book.h"
#include "run/weight_store.h"

namespace sinter::engine {

struct ModelOptions {
  // How far dispatches are fused. None: what measuring finds the quicker for a token, `layer` or
  // `chain`; `layer` while that is not known. `none` is never tried, as it would take every weight
  // into memory again, unjoined.
  std::optional<passes::Fusion> fusion;
  // Names of rewrites to leave out.
  std::set<std::string, std::less<>> disabled_passes;
  compile::ForcedVariants variants;
  // Uses plans that earlier processes measured, and keeps those measured in this one. Open()
  // (open.h) sets it.
  bool plans_on_disk = false;
  // Compiles in the background what prompts and generation will want but do not wait for: programs
  // of other lengths, chains. Not on a software GPU, which compiles on the CPU that computes.
  bool prepare_in_background = false;
  // Called while weights go to the GPU; may throw to stop the load.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;

  model::RewriteOptions rewrite() const { return {fusion, disabled_passes}; }
};

class Model {
 public:
  // Reads the folder and prepares its graph. Weights go to the GPU with the first sequence.
  static std::shared_ptr<Model> Load(const std::filesystem::path& path,
                                     std::shared_ptr<gpu::Device> device,
                                     const ModelOptions& options = {});
  Model(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
        const ModelOptions& options);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const model::GenaiConfig& config() const { return folder_.config; }
  const std::filesystem::path& path() const { return folder_.path; }
  const std::shared_ptr<gpu::Device>& device() const { return device_; }
  run::WeightStore& weights() { return weights_; }
  run::PlanBook& plans() { return plans_; }
  ProgramSet& programs() { return programs_; }
  // Whoever runs programs of this model holds a WorkGate::Scope.
  WorkGate& gate() { return gate_; }
  const ModelOptions& options() const { return options_; }
  // The graph after the rewrites; shapes are still symbolic.
  const graph::Graph& graph() const { return *folder_.graph; }
  DType logits_dtype() const { return logits_dtype_; }
  // Returns whether programs compute the logits of the last valid row only.
  bool has_last_row() const { return has_last_row_; }

  // The graph with numbers for shapes. `length`: the real length of the sequence, by which an If
  // picks its branch (LongRoPE's short or long factors), where shapes hold the cache's capacity.
  std::unique_ptr<graph::Graph> Specialize(const model::ProgramShape& shape, int64_t length) const;
  // Which branch each If takes at that length; programs for equal decisions are the same.
  std::vector<bool> BranchDecisions(int64_t length) const;

 private:
  model::ModelFolder folder_;
  std::shared_ptr<gpu::Device> device_;
  ModelOptions options_;
  run::WeightStore weights_;
  run::PlanBook plans_;
  WorkGate gate_;
  DType logits_dtype_ = DType::kUndefined;
  bool has_last_row_ = false, has_branches_ = false;
  ProgramSet programs_{*this};
};

}  // namespace sinter::engine
