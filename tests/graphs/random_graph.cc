#include "graphs/random_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "graphs/builder.h"

namespace sinter::graphs {
namespace {

const std::vector<Maker>& Makers() {
  static const auto* makers = [] {
    auto* all = new std::vector<Maker>;
    for (auto group : {ElementwiseMakers(), MovementMakers(), ReductionMakers(), ProductMakers(),
                       AttentionMakers(), PatternMakers()}) {
      all->insert(all->end(), group.begin(), group.end());
    }
    return all;
  }();
  return *makers;
}

bool IsPattern(const Maker& maker) { return maker.domain == "pattern"; }

// Returns the makers that the operator set has.
std::vector<const Maker*> MakersOf(int opset) {
  std::vector<const Maker*> makers;
  for (const Maker& maker : Makers()) {
    const int version = maker.domain.empty() ? opset : 1;
    if (IsPattern(maker) || graph::FindOp(maker.domain, maker.name, version) != nullptr)
      makers.push_back(&maker);
  }
  return makers;
}

}  // namespace

RandomGraph MakeRandomGraph(uint64_t seed, bool with_faults) {
  Builder builder(seed);
  const std::vector<const Maker*> makers = MakersOf(builder.opset());
  double total = 0;
  for (const Maker* maker : makers) total += maker->weight;
  const int64_t nodes = builder.Int(1, 6);
  for (int64_t i = 0; i < nodes || builder.empty(); ++i) {
    double at = builder.Uniform() * total;
    const Maker* chosen = makers.back();
    for (const Maker* maker : makers) {
      at -= maker->weight;
      if (at < 0) {
        chosen = maker;
        break;
      }
    }
    chosen->make(builder);
  }
  RandomGraph graph = builder.Finish();
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + 1);
  if (with_faults && random() % 16 == 0) graph.fault = Builder::Damage(*graph.graph, random);
  return graph;
}

const std::vector<OmittedOperator>& OmittedOperators() {
  static const auto* omitted = new std::vector<OmittedOperator>{
      {"com.microsoft", "MoE", "has no kernel; it is the reference of QMoE's tests"},
      {"sinter", "MatMulNBitsQkv", "made by fuse_qkv from the patterns"},
      {"sinter", "NormMatMulNBits", "made by fuse_head_norm from the patterns"},
      {"sinter", "MatMulNBitsMlp", "made by fuse_mlp from the patterns"},
      {"sinter", "MatMulNBitsAdd", "made by fuse_residual from the patterns"},
      {"sinter", "NormQMoE", "made by fuse_moe from the patterns"},
  };
  return *omitted;
}

std::vector<std::string> GeneratedOperators() {
  std::set<std::string> names;
  for (const Maker& maker : Makers()) {
    if (!IsPattern(maker)) names.insert(fmt::format("{}::{}", maker.domain, maker.name));
  }
  return {names.begin(), names.end()};
}

}  // namespace sinter::graphs
