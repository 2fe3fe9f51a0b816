// A model folder, read: configuration, graph, weights. Sessions (session.h) run it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compile/lowering.h"
#include "gpu/device.h"
#include "graph/graph.h"
#include "model/genai_config.h"
#include "model/model_folder.h"
#include "model/rewrite.h"
#include "run/planner.h"
#include "run/weight_store.h"

namespace sinter::engine {

struct ModelOptions {
  // None: what measuring finds the quicker for a token, `layer` or `chain`; `layer` where plans are
  // not measured. `none` is never tried, as it would take every weight into memory again, unjoined.
  std::optional<passes::Fusion> fusion;
  // Names of rewrites to leave out.
  std::set<std::string, std::less<>> disabled_passes;
  compile::ForcedVariants variants;
  // Measure kernels' plans on this adapter where the cache on disk does not know them, and take the
  // quickest; else the best guesses are taken.
  bool measure_plans = false;
  // Called while weights go to the GPU; may throw to stop the load.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;

  model::RewriteOptions rewrite() const { return {fusion, disabled_passes}; }
};

class Model {
 public:
  // Reads the folder and prepares its graph. Weights go to the GPU with the first session.
  static std::shared_ptr<Model> Load(const std::filesystem::path& path,
                                     std::shared_ptr<gpu::Device> device,
                                     const ModelOptions& options = {});
  Model(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
        const ModelOptions& options);

  const model::GenaiConfig& config() const { return folder_.config; }
  const std::filesystem::path& path() const { return folder_.path; }
  const std::shared_ptr<gpu::Device>& device() const { return device_; }
  run::WeightStore& weights() { return weights_; }
  run::PlanBook& plans() { return plans_; }
  const ModelOptions& options() const { return options_; }
  // After the rewrites; shapes are still symbolic.
  const graph::Graph& graph() const { return *folder_.graph; }

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
};

}  // namespace sinter::engine
