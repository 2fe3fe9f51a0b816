#include "passes/pipeline.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "graph/verify.h"
#include "passes/drop_qkv_split.h"
#include "passes/eliminate_dead.h"
#include "passes/eliminate_identity.h"
#include "passes/eliminate_unit_gather.h"
#include "passes/fold_attention_mask.h"
#include "passes/fold_bias.h"
#include "passes/fold_last_position.h"
#include "passes/fold_total_sequence_length.h"
#include "passes/fuse_head_norm.h"
#include "passes/fuse_layer_norm.h"
#include "passes/fuse_mlp.h"
#include "passes/fuse_moe.h"
#include "passes/fuse_post_norm.h"
#include "passes/fuse_qk_norm.h"
#include "passes/fuse_qkv.h"
#include "passes/fuse_residual.h"
#include "passes/fuse_rms_norm.h"
#include "passes/fuse_rotary.h"
#include "passes/fuse_silu.h"
#include "passes/hoist_gather.h"
#include "passes/last_row_logits.h"
#include "passes/split_rotary_cache.h"
#include "passes/widen_reductions.h"

namespace sinter::passes {
namespace {

constexpr Pass kModelPasses[] = {
    {"split_rotary_cache", SplitRotaryCache},
    {"last_row_logits", LastRowLogits},
};

constexpr Pass kProgramPasses[] = {
    {"fold_attention_mask", FoldAttentionMask},
    {"fold_total_sequence_length", FoldTotalSequenceLength},
    {"fold_last_position", FoldLastPosition},
    {"eliminate_unit_gather", EliminateUnitGather},
    {"eliminate_identity", EliminateIdentity},
    {"hoist_gather", HoistGather},
    {"fuse_layer_norm", FuseLayerNorm, Fusion::kLayer},
    {"fuse_rms_norm", FuseRmsNorm, Fusion::kLayer},
    {"fold_bias", FoldBias, Fusion::kLayer},
    {"fuse_silu", FuseSilu, Fusion::kLayer},
    {"fuse_rotary", FuseRotary, Fusion::kLayer},
    {"fuse_qk_norm", FuseQkNorm, Fusion::kLayer},
    {"drop_qkv_split", DropQkvSplit, Fusion::kLayer},
    {"fuse_residual", FuseResidual, Fusion::kLayer},
    {"fuse_qkv", FuseQkv, Fusion::kLayer},
    {"fuse_mlp", FuseMlp, Fusion::kLayer},
    {"fuse_moe", FuseMoe, Fusion::kLayer},
    {"fuse_head_norm", FuseHeadNorm, Fusion::kLayer},
    {"fuse_post_norm", FusePostNorm, Fusion::kLayer},
    {"widen_reductions", WidenReductions},
    {"eliminate_dead", EliminateDead},
};

bool IsPass(std::string_view name) {
  for (const Stage stage : {Stage::kModel, Stage::kProgram}) {
    const std::span<const Pass> passes = Passes(stage);
    if (std::any_of(passes.begin(), passes.end(),
                    [&](const Pass& pass) { return pass.name == name; }))
      return true;
  }
  return false;
}

}  // namespace

std::span<const Pass> Passes(Stage stage) {
  if (stage == Stage::kModel) return kModelPasses;
  return kProgramPasses;
}

std::vector<PassReport> RunPasses(graph::Graph& graph, Stage stage, const PassOptions& options) {
  for (const std::string& name : options.disabled) {
    if (!IsPass(name))
      throw Error("passes", "disabled pass: got '{}', want the name of a pass", name);
  }
  std::vector<PassReport> reports;
  for (const Pass& pass : Passes(stage)) {
    if (options.disabled.contains(pass.name) || options.fusion < pass.from) continue;
    const auto start = std::chrono::steady_clock::now();
    const int changes = pass.run(graph, options);
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    graph::Verify(graph);
    reports.push_back({pass.name, changes, time.count()});
  }
  return reports;
}

}  // namespace sinter::passes
