// A model on a device: the state that all its sequences share.
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
  // Level of fusion. nullopt: `layer` or `chain`, whichever measuring finds quicker for a token;
  // `layer` until that is known. `none` is never chosen so, because it would take every weight into
  // memory again, unjoined.
  std::optional<passes::Fusion> fusion;
  // Names of rewrites to leave out.
  std::set<std::string, std::less<>> disabled_passes;
  compile::ForcedVariants variants;
  // Uses plans that earlier processes measured, and stores those measured in this one. Open()
  // (open.h) sets it.
  bool plans_on_disk = false;
  // Compiles in the background the programs that prompts and generation want but do not wait for:
  // other lengths, chains. Ignored on a software GPU, whose compiler shares the CPU with its
  // computations.
  bool prepare_in_background = false;
  // Called while weights are uploaded; may throw to stop the load.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;

  model::RewriteOptions rewrite() const { return {fusion, disabled_passes}; }
};

class Model {
 public:
  // Reads the folder and prepares its graph. Weights are uploaded with the first sequence.
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
  // Returns the gate. A caller that runs programs of this model must hold a WorkGate::Scope.
  WorkGate& gate() { return gate_; }
  const ModelOptions& options() const { return options_; }
  // Returns the graph after the rewrites; its shapes are still symbolic.
  const graph::Graph& graph() const { return *folder_.graph; }
  DType logits_dtype() const { return logits_dtype_; }
  // Returns whether programs compute the logits of the last valid row only.
  bool has_last_row() const { return has_last_row_; }
  // Returns the most rows that a KV cache of this model may have: those of which the keys of a
  // layer fit one binding of the adapter, and which its memory has room for beside the weights. An
  // upper bound: other processes may use some of the memory.
  int64_t MostCacheRows() const;
  // Returns how programs run: with padding, or on exactly their number of rows.
  const model::RunForm& run_form() const { return folder_.run_form; }

  // Returns the graph with numbers for its symbolic shapes. `length` is the real length of the
  // sequence, by which an If chooses its branch (LongRoPE's short or long factors). Shapes hold the
  // cache's capacity instead.
  std::unique_ptr<graph::Graph> Specialize(const model::ProgramShape& shape, int64_t length) const;
  // Returns the branch that each If takes at that length. Programs of equal decisions are equal.
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
