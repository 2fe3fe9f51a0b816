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

#include "exec/lowering.h"
#include "exec/planner.h"
#include "exec/weights.h"
#include "gpu/device.h"
#include "graph/graph.h"
#include "model/genai_config.h"
#include "passes/pass.h"

namespace sinter::model {

// What is read from the files, without a GPU.
struct ModelFolder {
  std::filesystem::path path;
  GenaiConfig config;
  // As in the file, checked: every operator, attribute and type is one that Sinter knows.
  std::unique_ptr<graph::Graph> graph;

  // Throws Error: no such folder, a missing or broken file, an operator that Sinter does not have.
  static ModelFolder Read(const std::filesystem::path& path);

  // Bytes of all constants as they are in the files.
  uint64_t weight_bytes() const;
};

// The sizes that make a symbolic graph a program's: rows of tokens in one run, and rows of the KV
// cache.
struct ProgramShape {
  int64_t sequence = 1;
  int64_t capacity = 1;
};

struct ModelOptions {
  // None: what measuring finds the quicker for a token, `layer` or `chain`; `layer` where plans are
  // not measured. `none` is not tried: it would take every weight into memory again, unjoined.
  std::optional<passes::Fusion> fusion;
  // Rewrites to leave out, by name.
  std::set<std::string, std::less<>> disabled_passes;
  exec::ForcedVariants variants;
  // Measure kernels' plans on this adapter where the cache on disk does not know them, and take the
  // quickest; else the best guesses are taken.
  bool measure_plans = false;
  // Called while weights go to the GPU; may throw to stop the load.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

class Model {
 public:
  // Reads the folder and prepares its graph. Weights go to the GPU with the first session.
  static std::shared_ptr<Model> Load(const std::filesystem::path& path,
                                     std::shared_ptr<gpu::Device> device,
                                     const ModelOptions& options = {});
  Model(ModelFolder folder, std::shared_ptr<gpu::Device> device, const ModelOptions& options);

  const GenaiConfig& config() const { return folder_.config; }
  const std::filesystem::path& path() const { return folder_.path; }
  const std::shared_ptr<gpu::Device>& device() const { return device_; }
  exec::WeightStore& weights() { return weights_; }
  exec::PlanBook& plans() { return plans_; }
  const ModelOptions& options() const { return options_; }
  // After the rewrites; shapes are still symbolic.
  const graph::Graph& graph() const { return *folder_.graph; }

  // The graph with numbers for shapes. `length`: the real length of the sequence, by which an If
  // picks its branch (LongRoPE's short or long factors), where shapes hold the cache's capacity.
  std::unique_ptr<graph::Graph> Specialize(const ProgramShape& shape, int64_t length) const;
  // Which branch each If takes at that length; programs for equal decisions are the same.
  std::vector<bool> BranchDecisions(int64_t length) const;

 private:
  ModelFolder folder_;
  std::shared_ptr<gpu::Device> device_;
  ModelOptions options_;
  exec::WeightStore weights_;
  exec::PlanBook plans_;
};

// A symbolic graph's dimension names bound to numbers: batch 1, `shape.sequence` tokens, a cache of
// `shape.capacity` rows in which `total` positions are valid. Throws Error where the graph's inputs
// are not a decoder's.
std::map<std::string, int64_t> BindDims(const graph::Graph& graph, const GenaiConfig& config,
                                        const ProgramShape& shape, int64_t total);

// The rewrites of the symbolic graph, and its turning into a program's graph, without a GPU: what
// Model does, for tools.
void Rewrite(graph::Graph& graph, const GenaiConfig& config, const ModelOptions& options);
std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const ModelOptions& options);

}  // namespace sinter::model
