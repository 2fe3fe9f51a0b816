#include "exec/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/matmul_nbits/matmul_nbits_chain.h"

namespace sinter::exec {
namespace {

using kernels::ChainLink;

constexpr std::string_view kKernel = "matmul_nbits_chain";

// Operands of a product's dispatch (EmitMatMulNBits), from 0.
enum ProductOperand : size_t { kA, kB, kScales, kZeroPoints, kBias, kY, kResidual, kNormScale };
// Operands of a chain: three, then those of each link.
enum LinkOperand : size_t {
  kLinkB,
  kLinkScales,
  kLinkBias,
  kLinkNormScale,
  kLinkResidual,
  kLinkY,
  kLinkOperands
};
constexpr size_t kRowsOperand = 1, kOldRowsOperand = 2, kFirstLinkOperand = 3;

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

Dispatch Chain(const gpu::Caps& caps, std::span<const Dispatch> run,
               const std::vector<ChainLink>& links, std::string_view forced,
               const Choices& choices) {
  kernels::ChainPlan plan = kernels::PlanMatMulNBitsChain(caps, links, forced);
  const std::string guess = plan.kernel.variant;
  if (const auto it = choices.find(guess); forced.empty() && it != choices.end())
    plan = kernels::PlanMatMulNBitsChain(caps, links, it->second);
  Dispatch chain;
  chain.operands.resize(OperandOf(run.size(), kLinkB));
  chain.writes.resize(chain.operands.size());
  chain.operands[0] = run[0].operands[kA];
  chain.operands[kRowsOperand].bytes = plan.row_words * sizeof(uint32_t);
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
        all.push_back({variant, std::move(other.kernel)});
      }
      return all;
    };
  }
  chain.plan = std::move(plan.kernel);
  return chain;
}

// Gives each chain the memory that its rows go through, and that of the chain before, in the order
// of running, to clear. A chain alone clears what nobody uses (Program::Record).
void AllocateRows(Lowered& lowered) {
  std::vector<Dispatch*> chains;
  for (Dispatch& dispatch : lowered.dispatches) {
    if (dispatch.is_chain()) chains.push_back(&dispatch);
  }
  if (chains.empty()) return;
  const auto buffer = static_cast<int>(lowered.buffers.size());
  BufferInfo info = {BufferInfo::Kind::kRows, "rows of chains", 0};
  constexpr uint64_t alignment = kernels::kChainHeadWords * sizeof(uint32_t);
  const auto allocate = [&](uint64_t bytes) {
    const BufferRef ref = {buffer, info.bytes, bytes};
    info.bytes = (info.bytes + bytes + alignment - 1) / alignment * alignment;
    return ref;
  };
  for (Dispatch* chain : chains) {
    BufferRef& rows = chain->operands[kRowsOperand];
    rows = allocate(rows.bytes);
  }
  BufferRef old = chains.back()->operands[kRowsOperand];
  if (chains.size() == 1) old = allocate(old.bytes);
  for (Dispatch* chain : chains) {
    chain->operands[kOldRowsOperand] = old;
    old = chain->operands[kRowsOperand];
    chain->writes[kRowsOperand] = chain->writes[kOldRowsOperand] = true;
  }
  lowered.buffers.push_back(std::move(info));
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
      lowered.dispatches.push_back(Chain(caps, run, links, forced, choices));
      break;
    }
    if (count <= 1) lowered.dispatches.push_back(all[i]);
    i += std::max<size_t>(count, 1);
  }
  AllocateRows(lowered);
}

BufferRef RowsOfChain(const Dispatch& chain) { return chain.operands[kRowsOperand]; }

bool IsStuckChain(const Dispatch& chain, std::span<const std::byte> rows) {
  uint32_t word = 0;
  const uint64_t at = RowsOfChain(chain).offset + kernels::kChainStuckWord * sizeof(word);
  std::memcpy(&word, rows.data() + at, sizeof(word));
  return word != 0;
}

}  // namespace sinter::exec
