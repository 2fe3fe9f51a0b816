#include "exec/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "kernels/matmul_nbits/matmul_nbits_chain.h"

namespace sinter::exec {
namespace {

using kernels::ChainLink;

constexpr std::string_view kKernel = "matmul_nbits_chain";

// Operands of a product's dispatch (EmitMatMulNBits), from 0.
enum ProductOperand : size_t { kA, kB, kScales, kZeroPoints, kBias, kY, kResidual, kNormScale };
// Of an attention's (EmitDecode).
enum AttentionOperand : size_t {
  kQuery,
  kKeyCache = 3,
  kValueCache,
  kSeqlens,
  kCos,
  kSin,
  kQNorm,
  kKNorm,
  kOutput = 13
};
// Of a chain: these, then those of each link.
enum ChainOperand : size_t {
  kInput,
  kRows,
  kVectors,
  kChainKeyCache,
  kChainValueCache,
  kChainSeqlens,
  kRotary,
  kFirstLink
};
enum LinkOperand : size_t { kLinkB, kLinkScales, kLinkResidual, kLinkY, kLinkOperands };

size_t OperandOf(size_t link, LinkOperand operand) {
  return kFirstLink + link * kLinkOperands + operand;
}

// How often dispatches name each buffer, and the last that does.
struct Uses {
  std::vector<int> count;
  std::vector<size_t> last;
};

Uses FindUses(const Lowered& lowered) {
  Uses uses = {std::vector<int>(lowered.buffers.size()),
               std::vector<size_t>(lowered.buffers.size())};
  for (size_t i = 0; i < lowered.dispatches.size(); ++i) {
    for (const BufferRef& ref : lowered.dispatches[i].operands) {
      if (!ref) continue;
      ++uses.count[static_cast<size_t>(ref.buffer)];
      uses.last[static_cast<size_t>(ref.buffer)] = i;
    }
  }
  return uses;
}

kernels::ChainParams ParamsOf(const Dispatch& chain) {
  kernels::ChainParams params;
  SINTER_CHECK(chain.plan.params.size() == sizeof(params));
  std::memcpy(&params, chain.plan.params.data(), sizeof(params));
  return params;
}

// Joins runs of a program's dispatches.
class Chainer {
 public:
  Chainer(Lowered& lowered, const gpu::Caps& caps, std::string_view forced, const Choices& choices)
      : lowered_(lowered),
        caps_(caps),
        forced_(forced),
        choices_(choices),
        uses_(FindUses(lowered)),
        all_(std::move(lowered.dispatches)) {
    lowered_.dispatches.clear();
  }

  void Join() {
    for (size_t i = 0; i < all_.size();) {
      const size_t taken = JoinFrom(i);
      if (taken == 0) lowered_.dispatches.push_back(all_[i]);
      i += std::max<size_t>(taken, 1);
    }
    MeasureNoRareKinds();
    AllocateRows();
  }

 private:
  // The run of dispatches [begin, end) of which the first may be an attention.
  struct Run {
    size_t begin = 0, end = 0;
    kernels::Chain chain;
    // Constants that become one: the links' biases and scales of norms; caches of cos and sin.
    std::vector<graph::Tensor> vectors, rotary;
    size_t first_link() const { return begin + (chain.attention ? 1 : 0); }
  };

  // Makes a chain of the longest run from `begin` on that can be one; gives its length, or 0.
  size_t JoinFrom(size_t begin) {
    const bool attention = all_[begin].attention.has_value();
    const size_t least = attention ? 1 : 2;
    size_t links = std::min(kernels::kMaxChainLinks, all_.size() - begin - (attention ? 1 : 0));
    for (; links >= least; --links) {
      Run run = {.begin = begin, .end = begin + links + (attention ? 1 : 0)};
      if (!AddAttention(run) || !AddLinks(run)) continue;
      if (kernels::ChainVariants(caps_, run.chain).empty()) continue;
      lowered_.dispatches.push_back(MakeChain(run));
      UseInPlace(run);
      return run.end - run.begin;
    }
    return 0;
  }

  const BufferInfo& Info(BufferRef ref) const {
    return lowered_.buffers[static_cast<size_t>(ref.buffer)];
  }
  int Count(BufferRef ref) const { return uses_.count[static_cast<size_t>(ref.buffer)]; }
  bool IsIntermediate(BufferRef ref) const {
    return Info(ref).kind == BufferInfo::Kind::kIntermediate;
  }

  // Appends a whole constant of f16.
  bool Append(BufferRef ref, std::vector<graph::Tensor>& to) const {
    const BufferInfo& info = Info(ref);
    if (info.kind != BufferInfo::Kind::kWeight || info.device_dtype != DType::kF16 ||
        ref.offset != 0 || (ref.bytes != 0 && ref.bytes != info.bytes)) {
      return false;
    }
    to.insert(to.end(), info.tensors.begin(), info.tensors.end());
    return true;
  }

  bool AddAttention(Run& run) const {
    const Dispatch& dispatch = all_[run.begin];
    if (!dispatch.attention) return true;
    run.chain.attention = dispatch.attention;
    const std::vector<BufferRef>& operands = dispatch.operands;
    // Its output is the first link's alone.
    const Dispatch& next = all_[run.begin + 1];
    if (!IsIntermediate(operands[kOutput]) || Count(operands[kOutput]) != 2 || !next.product ||
        next.operands[kA].buffer != operands[kOutput].buffer) {
      return false;
    }
    if (!operands[kCos]) return true;
    return Append(operands[kCos], run.rotary) && Append(operands[kSin], run.rotary);
  }

  // The products as links; false where they are none.
  bool AddLinks(Run& run) const {
    const std::span<const Dispatch> products =
        std::span(all_).subspan(run.first_link(), run.end - run.first_link());
    std::vector<ChainLink>& links = run.chain.links;
    // How often the run itself names each link's Y.
    std::vector<int> own_uses(products.size(), 1);
    for (size_t i = 0; i < products.size(); ++i) {
      // A head that can choose the token saves more by itself.
      if (!products[i].product || products[i].chooses) return false;
      const std::vector<BufferRef>& operands = products[i].operands;
      ChainLink link = {.shape = *products[i].product};
      if (i > 0) {
        if (operands[kA].buffer != products[i - 1].operands[kY].buffer) return false;
        ++own_uses[i - 1];
      }
      if (link.shape.residual) {
        link.residual = ChainLink::kOutside;
        for (size_t j = 0; j < i; ++j) {
          if (operands[kResidual].buffer != products[j].operands[kY].buffer) continue;
          link.residual = static_cast<int>(j);
          ++own_uses[j];
        }
      }
      links.push_back(link);
      if (operands[kNormScale] && !Append(operands[kNormScale], run.vectors)) return false;
      if (operands[kBias] && !Append(operands[kBias], run.vectors)) return false;
    }
    if (run.chain.attention && run.chain.attention->has_norm) {
      const std::vector<BufferRef>& operands = all_[run.begin].operands;
      if (!Append(operands[kQNorm], run.vectors) || !Append(operands[kKNorm], run.vectors))
        return false;
    }
    for (size_t i = 0; i < products.size(); ++i) {
      const BufferRef y = products[i].operands[kY];
      if (IsIntermediate(y) && Count(y) == own_uses[i]) {
        links[i].result = ChainLink::Result::kInner;
      } else {
        TakeResidual(run, products, i);
      }
    }
    return true;
  }

  // Lets Y_i take the place of a residual that nobody reads afterwards.
  void TakeResidual(Run& run, std::span<const Dispatch> products, size_t i) const {
    std::vector<ChainLink>& links = run.chain.links;
    const BufferRef y = products[i].operands[kY];
    for (size_t j = 0; j <= i && IsIntermediate(y); ++j) {
      if (links[j].residual != ChainLink::kOutside || links[j].shape.n != links[i].shape.n)
        continue;
      const BufferRef x = products[j].operands[kResidual];
      if (!IsIntermediate(x) || x.offset != 0 || y.offset != 0 ||
          uses_.last[static_cast<size_t>(x.buffer)] != run.first_link() + j) {
        continue;
      }
      links[i].result = ChainLink::Result::kInPlace;
      links[i].in_place_of = j;
      return;
    }
  }

  // From the run on, what it writes in place goes by the name of what was there.
  void UseInPlace(const Run& run) {
    for (size_t i = 0; i < run.chain.links.size(); ++i) {
      const ChainLink& link = run.chain.links[i];
      if (link.result != ChainLink::Result::kInPlace) continue;
      const int y = all_[run.first_link() + i].operands[kY].buffer;
      const int x = all_[run.first_link() + link.in_place_of].operands[kResidual].buffer;
      for (size_t later = run.end; later < all_.size(); ++later) {
        for (BufferRef& ref : all_[later].operands) {
          if (ref.buffer == y) ref.buffer = x;
        }
      }
      uses_.last[static_cast<size_t>(x)] = uses_.last[static_cast<size_t>(y)];
      uses_.count[static_cast<size_t>(x)] += uses_.count[static_cast<size_t>(y)];
    }
  }

  BufferRef Constant(std::vector<graph::Tensor> tensors, std::string_view name) {
    if (tensors.empty()) return {};
    BufferInfo info = {.kind = BufferInfo::Kind::kWeight, .name = std::string(name)};
    for (const graph::Tensor& tensor : tensors)
      info.bytes += DTypeBytes(DType::kF16, static_cast<size_t>(tensor.num_elements()));
    info.tensors = std::move(tensors);
    info.device_dtype = DType::kF16;
    lowered_.buffers.push_back(std::move(info));
    return {static_cast<int>(lowered_.buffers.size()) - 1};
  }

  Dispatch MakeChain(const Run& run) {
    const kernels::Chain& parts = run.chain;
    kernels::ChainPlan plan = kernels::PlanMatMulNBitsChain(caps_, parts, forced_);
    const std::string guess = plan.kernel.variant;
    const std::vector<std::string> variants = kernels::ChainVariants(caps_, parts);
    if (const auto it = choices_.find(guess); it != choices_.end()) chosen_ = it->second;
    if (forced_.empty() && std::ranges::find(variants, chosen_) != variants.end())
      plan = kernels::PlanMatMulNBitsChain(caps_, parts, chosen_);
    Dispatch chain;
    chain.operands.resize(OperandOf(parts.links.size(), kLinkB));
    chain.writes.resize(chain.operands.size());
    const Dispatch& first = all_[run.begin];
    chain.operands[kInput] = first.operands[parts.attention ? size_t{kQuery} : size_t{kA}];
    chain.operands[kVectors] = Constant(run.vectors, first.label + " vectors");
    if (parts.attention) {
      chain.operands[kChainKeyCache] = first.operands[kKeyCache];
      chain.operands[kChainValueCache] = first.operands[kValueCache];
      chain.writes[kChainKeyCache] = chain.writes[kChainValueCache] = true;
      chain.operands[kChainSeqlens] = first.operands[kSeqlens];
      // A uniform binding is at most 64 KiB, and its memory may be shared with something larger.
      chain.operands[kChainSeqlens].bytes = sizeof(int32_t);
      chain.operands[kRotary] = Constant(run.rotary, "cos and sin");
    }
    // Room for any plan: measuring tries them all.
    uint64_t words = plan.row_words;
    for (const std::string& variant : variants)
      words = std::max(words, kernels::PlanMatMulNBitsChain(caps_, parts, variant).row_words);
    chain.operands[kRows].bytes = words * sizeof(uint32_t);
    chain.writes[kRows] = true;
    for (size_t i = 0; i < parts.links.size(); ++i) AddOperands(run, i, chain);
    for (size_t i = run.begin; i < run.end; ++i) chain.parts.push_back(all_[i].label);
    chain.label = fmt::format("{} and {} more", first.label, chain.parts.size() - 1);
    if (forced_.empty()) {
      chain.choice = guess;
      chain.alternatives = [caps = caps_, parts] {
        std::vector<Alternative> all;
        for (const std::string& variant : kernels::ChainVariants(caps, parts))
          all.push_back({variant, kernels::PlanMatMulNBitsChain(caps, parts, variant).kernel});
        return all;
      };
    }
    chain.plan = std::move(plan.kernel);
    return chain;
  }

  void AddOperands(const Run& run, size_t i, Dispatch& chain) const {
    const ChainLink& link = run.chain.links[i];
    const std::vector<BufferRef>& operands = all_[run.first_link() + i].operands;
    chain.operands[OperandOf(i, kLinkB)] = operands[kB];
    chain.operands[OperandOf(i, kLinkScales)] = operands[kScales];
    if (link.residual == ChainLink::kOutside)
      chain.operands[OperandOf(i, kLinkResidual)] = operands[kResidual];
    if (link.result == ChainLink::Result::kBound) {
      chain.operands[OperandOf(i, kLinkY)] = operands[kY];
      chain.writes[OperandOf(i, kLinkY)] = true;
    } else if (link.result == ChainLink::Result::kInPlace) {
      chain.writes[OperandOf(link.in_place_of, kLinkResidual)] = true;
    }
  }

  // To measure a kind takes seconds of compiling for each of its plans: not for one chain of many,
  // as the last layer's is. It does as the one before.
  void MeasureNoRareKinds() {
    std::map<std::string, int> counts;
    int most = 0;
    for (const Dispatch& dispatch : lowered_.dispatches) {
      if (dispatch.is_chain()) most = std::max(most, ++counts[dispatch.choice]);
    }
    for (Dispatch& dispatch : lowered_.dispatches) {
      if (dispatch.is_chain() && 4 * counts[dispatch.choice] < most)
        dispatch.alternatives = nullptr;
    }
  }

  // Gives each chain the memory that its rows go through, and that of the chain before, in the
  // order of running, to clear. A chain alone clears nothing (Program::ClearLoneChain does).
  void AllocateRows() {
    std::vector<Dispatch*> chains;
    for (Dispatch& dispatch : lowered_.dispatches) {
      if (dispatch.is_chain()) chains.push_back(&dispatch);
    }
    if (chains.empty()) return;
    BufferInfo info = {BufferInfo::Kind::kRows, "rows of chains",
                       kFirstChainRow * sizeof(uint32_t)};
    std::vector<kernels::ChainParams> params;
    std::vector<uint32_t> words;
    for (Dispatch* chain : chains) {
      BufferRef& rows = chain->operands[kRows];
      params.push_back(ParamsOf(*chain));
      params.back().rows = static_cast<uint32_t>(info.bytes / sizeof(uint32_t));
      words.push_back(static_cast<uint32_t>(rows.bytes / sizeof(uint32_t)));
      info.bytes += rows.bytes;
      rows = {static_cast<int>(lowered_.buffers.size()), 0, 0};
    }
    lowered_.buffers.push_back(std::move(info));
    const size_t count = chains.size();
    for (size_t i = 0; i < count; ++i) {
      if (count > 1) {
        const size_t before = (i + count - 1) % count;
        params[i].old_rows = params[before].rows;
        params[i].old_words = words[before];
      }
      chains[i]->plan.SetParams(params[i]);
    }
  }

  Lowered& lowered_;
  const gpu::Caps& caps_;
  const std::string_view forced_;
  const Choices& choices_;
  // What was measured for a chain before.
  std::string chosen_;
  Uses uses_;
  std::vector<Dispatch> all_;
};

}  // namespace

void ChainProducts(Lowered& lowered, const gpu::Caps& caps, const ForcedVariants& variants,
                   const Choices& choices) {
  const auto it = variants.find(kKernel);
  Chainer(lowered, caps, it == variants.end() ? std::string_view{} : it->second, choices).Join();
}

bool IsTableOfChain(size_t operand) { return operand == kRotary; }

}  // namespace sinter::exec
