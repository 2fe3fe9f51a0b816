#include "exec/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernels/matmul_nbits/matmul_nbits_chain.h"

namespace sinter::exec {
namespace {

using kernels::ChainLink;

constexpr std::string_view kKernel = "matmul_nbits_chain";

// Operands of a product's dispatch (EmitMatMulNBits), from 0.
enum ProductOperand : size_t { kA, kB, kScales, kZeroPoints, kBias, kY, kResidual, kNormScale };
// Operands of a chain: two, then those of each link.
enum LinkOperand : size_t {
  kLinkB,
  kLinkScales,
  kLinkBias,
  kLinkNormScale,
  kLinkResidual,
  kLinkY,
  kLinkOperands
};
constexpr size_t kCountersOperand = 1, kFirstLinkOperand = 2;

size_t OperandOf(size_t link, LinkOperand operand) {
  return kFirstLinkOperand + link * kLinkOperands + operand;
}

// How often dispatches name each buffer.
std::vector<int> CountUses(const Lowered& lowered) {
  std::vector<int> uses(lowered.buffers.size());
  for (const Dispatch& dispatch : lowered.dispatches) {
    for (const BufferRef& ref : dispatch.operands) {
      if (ref) ++uses[static_cast<size_t>(ref.buffer)];
    }
  }
  return uses;
}

// The dispatches as links of a chain; empty where they are none.
std::vector<ChainLink> LinksOf(const Lowered& lowered, std::span<const Dispatch> run,
                               const std::vector<int>& uses) {
  std::vector<ChainLink> links;
  // How often the run itself names each link's Y.
  std::vector<int> own_uses(run.size(), 1);
  for (size_t i = 0; i < run.size(); ++i) {
    // A head that can choose the token saves more by itself.
    if (!run[i].product || run[i].chooses) return {};
    const std::vector<BufferRef>& operands = run[i].operands;
    ChainLink link = {.shape = *run[i].product};
    if (i > 0) {
      if (operands[kA].buffer != run[i - 1].operands[kY].buffer) return {};
      ++own_uses[i - 1];
    }
    if (link.shape.residual) {
      link.residual = ChainLink::kOutside;
      for (size_t j = 0; j < i; ++j) {
        if (operands[kResidual].buffer != run[j].operands[kY].buffer) continue;
        link.residual = static_cast<int>(j);
        ++own_uses[j];
      }
    }
    links.push_back(link);
  }
  for (size_t i = 0; i < run.size(); ++i) {
    const auto y = static_cast<size_t>(run[i].operands[kY].buffer);
    links[i].keeps =
        lowered.buffers[y].kind != BufferInfo::Kind::kIntermediate || uses[y] > own_uses[i];
  }
  return links;
}

Dispatch Chain(Lowered& lowered, const gpu::Caps& caps, std::span<const Dispatch> run,
               const std::vector<ChainLink>& links, std::string_view forced,
               const Choices& choices) {
  static_assert(kernels::kChainCounterWords == kCounterWords);
  kernels::ChainPlan plan = kernels::PlanMatMulNBitsChain(caps, links, forced);
  const std::string guess = plan.kernel.variant;
  if (const auto it = choices.find(guess); forced.empty() && it != choices.end())
    plan = kernels::PlanMatMulNBitsChain(caps, links, it->second);
  Dispatch chain;
  chain.operands.resize(OperandOf(run.size(), kLinkB));
  chain.writes.resize(chain.operands.size());
  chain.operands[0] = run[0].operands[kA];
  chain.operands[kCountersOperand] = CountersOf(lowered, plan.scratch_words);
  chain.writes[kCountersOperand] = true;
  for (size_t i = 0; i < run.size(); ++i) {
    const std::vector<BufferRef>& operands = run[i].operands;
    const auto set = [&](LinkOperand operand, BufferRef ref) {
      chain.operands[OperandOf(i, operand)] = ref;
    };
    set(kLinkB, operands[kB]);
    set(kLinkScales, operands[kScales]);
    set(kLinkBias, operands[kBias]);
    set(kLinkNormScale, operands[kNormScale]);
    if (links[i].residual == ChainLink::kOutside) set(kLinkResidual, operands[kResidual]);
    if (links[i].keeps) {
      set(kLinkY, operands[kY]);
      chain.writes[OperandOf(i, kLinkY)] = true;
    }
    chain.parts.push_back(run[i].label);
  }
  chain.label = fmt::format("{} and {} more", run[0].label, run.size() - 1);
  if (forced.empty()) {
    chain.choice = guess;
    chain.alternatives = [caps, links] {
      std::vector<Alternative> all;
      for (const std::string& variant : kernels::ChainVariants(caps, links)) {
        kernels::ChainPlan other = kernels::PlanMatMulNBitsChain(caps, links, variant);
        all.push_back({variant, std::move(other.kernel), other.scratch_words});
      }
      return all;
    };
  }
  chain.plan = std::move(plan.kernel);
  return chain;
}

}  // namespace

void ChainProducts(Lowered& lowered, const gpu::Caps& caps, const ForcedVariants& variants,
                   const Choices& choices) {
  const auto it = variants.find(kKernel);
  const std::string_view forced = it == variants.end() ? std::string_view{} : it->second;
  const std::vector<int> uses = CountUses(lowered);
  const std::vector<Dispatch> all = std::move(lowered.dispatches);
  lowered.dispatches.clear();
  for (size_t i = 0; i < all.size();) {
    size_t count = std::min(kernels::kMaxChainLinks, all.size() - i);
    for (; count > 1; --count) {
      const std::span<const Dispatch> run = std::span(all).subspan(i, count);
      const std::vector<ChainLink> links = LinksOf(lowered, run, uses);
      if (links.empty() || kernels::ChainVariants(caps, links).empty()) continue;
      lowered.dispatches.push_back(Chain(lowered, caps, run, links, forced, choices));
      break;
    }
    if (count <= 1) lowered.dispatches.push_back(all[i]);
    i += std::max<size_t>(count, 1);
  }
}

}  // namespace sinter::exec
