#include "compile/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "kernels/layer_chain/layer_chain.h"

namespace sinter::compile {
namespace {

using kernels::ChainLink;

constexpr std::string_view kKernel = "layer_chain";

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
// Of a lookup: the table, the token, scales where it has codes; its output is the last one.
enum TableOperand : size_t { kTable, kToken, kTableScales };
enum LinkOperand : size_t { kLinkB, kLinkScales, kLinkResidual, kLinkY, kLinkOperands };

size_t OperandOf(size_t link, LinkOperand operand) {
  return kFirstLink + link * kLinkOperands + operand;
}

// How often dispatches name each buffer.
std::vector<int> CountUses(const Lowered& lowered) {
  std::vector<int> count(lowered.buffers.size());
  for (const Dispatch& dispatch : lowered.dispatches) {
    for (const BufferRef& ref : dispatch.operands) {
      if (ref) ++count[static_cast<size_t>(ref.buffer)];
    }
  }
  return count;
}

// Joins runs of a program's dispatches.
class Chainer {
 public:
  Chainer(Lowered& lowered, const Caps& caps, std::string_view forced, const Choices& choices)
      : lowered_(lowered),
        caps_(caps),
        forced_(forced),
        choices_(choices),
        uses_(CountUses(lowered)),
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
    DropUnusedBuffers();
  }

 private:
  // Dispatches [begin, end) as one layer of a chain.
  struct Layer {
    size_t begin = 0, end = 0;
    std::optional<size_t> attention;
    std::vector<size_t> products;
    kernels::Chain chain;
    // Constants that become one: biases and scales of norms, by ChainVectors.
    std::vector<graph::Tensor> vectors;
    // Caches of cos and sin.
    std::vector<graph::Tensor> rotary;
  };

  // Makes a chain of the longest run from `begin` on that can be one, and of the layers behind it
  // that are like it; gives the number of its dispatches, or 0.
  size_t JoinFrom(size_t begin) {
    const Dispatch* lookup = all_[begin].table && begin + 1 < all_.size() ? &all_[begin] : nullptr;
    std::optional<Layer> first = LongestLayer(lookup != nullptr ? begin + 1 : begin);
    if (!first) return 0;
    kernels::Chain chain = first->chain;
    if (lookup != nullptr) {
      chain.table = lookup->table;
      const BufferRef x = lookup->operands.back();
      if (InputOf(*first).buffer != x.buffer || !IsInner(x, ReadersOfInput(*first)) ||
          kernels::ChainVariants(caps_, chain).empty()) {
        return 0;
      }
    }
    std::vector<Layer> layers;
    layers.push_back(*std::move(first));
    while (std::optional<Layer> next =
               LayerAt(layers.back().end, layers[0].chain.links.size(), chain.attention_at)) {
      const std::optional<kernels::Chain> longer = Extended(chain, layers, *next);
      if (!longer || kernels::ChainVariants(caps_, *longer).empty()) break;
      chain = *longer;
      layers.push_back(*std::move(next));
    }
    lowered_.dispatches.push_back(MakeChain(chain, layers, lookup));
    return layers.back().end - begin;
  }

  std::optional<Layer> LongestLayer(size_t begin) const {
    const size_t attention_at =
        begin + 1 < all_.size() && !all_[begin].attention && all_[begin + 1].attention ? 1 : 0;
    const size_t least = all_[begin].attention ? 1 : 2;
    for (size_t links = kernels::kMaxChainLinks; links >= least; --links) {
      std::optional<Layer> layer = LayerAt(begin, links, attention_at);
      if (layer && !kernels::ChainVariants(caps_, layer->chain).empty()) return layer;
    }
    return std::nullopt;
  }

  const BufferInfo& Info(BufferRef ref) const {
    return lowered_.buffers[static_cast<size_t>(ref.buffer)];
  }
  // Whether nobody but its writer and `readers` operands names it.
  bool IsInner(BufferRef ref, int readers) const {
    return Info(ref).kind == BufferInfo::Kind::kIntermediate &&
           uses_[static_cast<size_t>(ref.buffer)] == 1 + readers;
  }
  bool IsWholeConstant(BufferRef ref) const {
    const BufferInfo& info = Info(ref);
    return info.kind == BufferInfo::Kind::kWeight && ref.offset == 0 &&
           (ref.bytes == 0 || ref.bytes == info.bytes);
  }

  // Appends a whole constant of f16.
  bool Append(BufferRef ref, std::vector<graph::Tensor>& to) const {
    const BufferInfo& info = Info(ref);
    if (!IsWholeConstant(ref) || info.form.dtype != DType::kF16) return false;
    to.insert(to.end(), info.tensors.begin(), info.tensors.end());
    return true;
  }

  BufferRef Operand(size_t dispatch, size_t operand) const {
    return all_[dispatch].operands[operand];
  }

  // `links` products from `begin` on, before one of which may be an attention, where each takes
  // what the one before gives.
  std::optional<Layer> LayerAt(size_t begin, size_t links, size_t attention_at) const {
    Layer layer = {.begin = begin, .end = begin};
    BufferRef row;  // what the last one gave
    for (size_t i = 0; i < links; ++i) {
      if (i == attention_at && layer.end < all_.size() && all_[layer.end].attention) {
        const BufferRef query = Operand(layer.end, kQuery);
        if (i > 0 && query.buffer != row.buffer) return std::nullopt;
        row = Operand(layer.end, kOutput);
        layer.attention = layer.end++;
      }
      if (layer.end == all_.size()) return std::nullopt;
      const Dispatch& product = all_[layer.end];
      if (!product.product) return std::nullopt;
      if ((i > 0 || layer.attention) && product.operands[kA].buffer != row.buffer)
        return std::nullopt;
      row = product.operands[kY];
      layer.products.push_back(layer.end++);
    }
    layer.chain.attention_at = attention_at;
    if (!AddLinks(layer) || !AddAttention(layer)) return std::nullopt;
    return layer;
  }

  // What a layer begins with.
  BufferRef InputOf(const Layer& layer) const {
    return Operand(layer.begin, layer.attention == layer.begin ? size_t{kQuery} : size_t{kA});
  }
  BufferRef OutputOf(const Layer& layer) const { return Operand(layer.products.back(), kY); }

  // How many operands of a layer are what it begins with.
  static int ReadersOfInput(const Layer& layer) {
    const auto reads = [](const ChainLink& link) { return link.residual == ChainLink::kInput; };
    return 1 + static_cast<int>(std::ranges::count_if(layer.chain.links, reads));
  }

  bool AddLinks(Layer& layer) const {
    const std::vector<size_t>& products = layer.products;
    std::vector<ChainLink>& links = layer.chain.links;
    // How often the layer itself reads each link's Y.
    std::vector<int> readers(products.size());
    for (size_t i = 0; i < products.size(); ++i) {
      const std::vector<BufferRef>& operands = all_[products[i]].operands;
      ChainLink link = {.shape = *all_[products[i]].product};
      if (i > 0) ++readers[i - 1];
      if (link.shape.residual) {
        link.residual = ChainLink::kOutside;
        if (layer.attention != layer.begin && operands[kResidual].buffer == InputOf(layer).buffer) {
          link.residual = ChainLink::kInput;
        }
        for (size_t j = 0; j < i; ++j) {
          if (operands[kResidual].buffer != Operand(products[j], kY).buffer) continue;
          link.residual = static_cast<int>(j);
          ++readers[j];
        }
      }
      links.push_back(link);
      if (operands[kNormScale] && !Append(operands[kNormScale], layer.vectors)) return false;
      if (operands[kBias] && !Append(operands[kBias], layer.vectors)) return false;
    }
    for (size_t i = 0; i + 1 < products.size(); ++i)
      links[i].bound = !IsInner(Operand(products[i], kY), readers[i]);
    return true;
  }

  bool AddAttention(Layer& layer) const {
    if (!layer.attention) return true;
    layer.chain.attention = all_[*layer.attention].attention;
    const std::vector<BufferRef>& operands = all_[*layer.attention].operands;
    if (!IsInner(operands[kOutput], 1)) return false;
    if (operands[kQNorm] &&
        (!Append(operands[kQNorm], layer.vectors) || !Append(operands[kKNorm], layer.vectors))) {
      return false;
    }
    return !operands[kCos] ||
           (Append(operands[kCos], layer.rotary) && Append(operands[kSin], layer.rotary));
  }

  // The chain with one layer more, where `next` can be that.
  std::optional<kernels::Chain> Extended(const kernels::Chain& chain,
                                         const std::vector<Layer>& layers,
                                         const Layer& next) const {
    const Layer& first = layers[0];
    const Layer& last = layers.back();
    if (next.chain != first.chain || next.vectors.size() != first.vectors.size() ||
        InputOf(next).buffer != OutputOf(last).buffer ||
        !IsInner(OutputOf(last), ReadersOfInput(next))) {
      return std::nullopt;
    }
    const auto joins = [&](size_t link, size_t operand) {
      const BufferRef ref = Operand(next.products[link], operand);
      const uint64_t bytes = Info(ref).bytes;
      // One behind the other, and each where a program of one layer can bind it.
      return IsWholeConstant(ref) && IsWholeConstant(Operand(first.products[link], operand)) &&
             bytes % caps_.limits.min_storage_offset_alignment == 0 &&
             bytes * (layers.size() + 1) <= caps_.limits.max_storage_binding_bytes;
    };
    for (size_t i = 0; i < next.products.size(); ++i) {
      if (!joins(i, kB) || !joins(i, kScales)) return std::nullopt;
    }
    kernels::Chain longer = chain;
    ++longer.layers;
    if (!next.attention) return longer;
    const auto same = [&](AttentionOperand operand) {
      return Operand(*next.attention, operand).buffer == Operand(*first.attention, operand).buffer;
    };
    if (!same(kSeqlens) || !same(kCos) || !same(kSin)) return std::nullopt;
    const uint64_t row =
        DTypeBytes(chain.attention->attention.dtype, chain.attention->attention.head_size);
    // One step from layer to layer, the same for keys and values, within one binding.
    std::optional<uint64_t> step;
    if (layers.size() > 1) step = chain.cache_layer * row;
    for (const AttentionOperand cache : {kKeyCache, kValueCache}) {
      const BufferInfo& from = Info(Operand(*first.attention, cache));
      const BufferInfo& to = Info(Operand(*next.attention, cache));
      if (from.place.memory < 0 || from.place.memory != to.place.memory ||
          from.place.offset >= to.place.offset) {
        return std::nullopt;
      }
      const uint64_t distance = to.place.offset - from.place.offset;
      if (!step) step = distance;
      if (distance != layers.size() * *step || distance % row != 0 ||
          distance + to.bytes > caps_.limits.max_storage_binding_bytes) {
        return std::nullopt;
      }
    }
    longer.cache_layer = static_cast<uint32_t>(*step / row);
    return longer;
  }

  BufferRef Constant(std::vector<graph::Tensor> tensors, const WeightForm& form, std::string name) {
    if (tensors.empty()) return {};
    const auto [it, fresh] = constants_.try_emplace(KeyOf(tensors, form), -1);
    if (!fresh) return {it->second};
    BufferInfo info = {.kind = BufferInfo::Kind::kWeight, .name = std::move(name)};
    for (const graph::Tensor& tensor : tensors) info.bytes += DeviceBytes(tensor, form.dtype);
    info.tensors = std::move(tensors);
    info.form = form;
    it->second = static_cast<int>(lowered_.buffers.size());
    lowered_.buffers.push_back(std::move(info));
    return {it->second};
  }

  // An operand of a link, of all layers.
  BufferRef Joined(const std::vector<Layer>& layers, size_t link, size_t operand) {
    const BufferRef first = Operand(layers[0].products[link], operand);
    if (layers.size() == 1) return first;
    std::vector<graph::Tensor> tensors;
    for (const Layer& layer : layers) {
      const std::vector<graph::Tensor>& own = Info(Operand(layer.products[link], operand)).tensors;
      tensors.insert(tensors.end(), own.begin(), own.end());
    }
    return Constant(std::move(tensors), Info(first).form, Info(first).name + " and on");
  }

  BufferRef JoinedCache(const std::vector<Layer>& layers, AttentionOperand cache) const {
    BufferRef ref = Operand(*layers[0].attention, cache);
    if (layers.size() == 1) return ref;
    const BufferInfo& last = Info(Operand(*layers.back().attention, cache));
    ref.bytes = last.place.offset + last.bytes - Info(ref).place.offset;
    return ref;
  }

  // `lookup`: null where the first layer's input is a row.
  Dispatch MakeChain(const kernels::Chain& parts, const std::vector<Layer>& layers,
                     const Dispatch* lookup) {
    kernels::ChainPlan plan = kernels::PlanLayerChain(caps_, parts, forced_);
    const std::string guess = plan.kernel.variant;
    const std::vector<std::string> variants = kernels::ChainVariants(caps_, parts);
    if (const auto it = choices_.find(guess); it != choices_.end()) chosen_ = it->second;
    if (forced_.empty() && std::ranges::find(variants, chosen_) != variants.end())
      plan = kernels::PlanLayerChain(caps_, parts, chosen_);
    Dispatch chain;
    if (lookup != nullptr) chain.parts.push_back(lookup->label);
    for (const Layer& layer : layers) {
      for (size_t i = layer.begin; i < layer.end; ++i) chain.parts.push_back(all_[i].label);
    }
    chain.label = fmt::format("{} and {} more", chain.parts[0], chain.parts.size() - 1);
    AddOperands(parts, layers, chain);
    if (lookup != nullptr) AddTable(*lookup, chain);
    // Room for any plan: measuring tries them all.
    uint64_t words = plan.row_words;
    for (const std::string& variant : variants)
      words = std::max(words, kernels::PlanLayerChain(caps_, parts, variant).row_words);
    chain.operands[kRows].bytes = words * sizeof(uint32_t);
    chain.writes[kRows] = true;
    if (forced_.empty()) {
      chain.choice = guess;
      chain.alternatives = [caps = caps_, parts] {
        std::vector<Alternative> all;
        for (const std::string& variant : kernels::ChainVariants(caps, parts))
          all.push_back({variant, kernels::PlanLayerChain(caps, parts, variant).kernel});
        return all;
      };
    }
    chain.plan = std::move(plan.kernel);
    return chain;
  }

  static void AddTable(const Dispatch& lookup, Dispatch& chain) {
    chain.operands[kInput] = lookup.operands[kTable];
    chain.operands.resize(kernels::kChainTableScalesOperand + 1);
    chain.writes.resize(chain.operands.size());
    chain.operands[kernels::kChainTokenOperand] = lookup.operands[kToken];
    // A uniform binding, as above.
    chain.operands[kernels::kChainTokenOperand].bytes = sizeof(int32_t);
    if (lookup.table->block_size > 0)
      chain.operands[kernels::kChainTableScalesOperand] = lookup.operands[kTableScales];
  }

  void AddOperands(const kernels::Chain& parts, const std::vector<Layer>& layers, Dispatch& chain) {
    const Layer& first = layers[0];
    std::vector<graph::Tensor> vectors;
    for (const Layer& layer : layers)
      vectors.insert(vectors.end(), layer.vectors.begin(), layer.vectors.end());
    chain.operands.resize(OperandOf(parts.links.size(), kLinkB));
    chain.writes.resize(chain.operands.size());
    chain.operands[kInput] = InputOf(first);
    chain.operands[kVectors] =
        Constant(std::move(vectors), {DType::kF16}, chain.label + " vectors");
    if (first.attention) {
      chain.operands[kChainKeyCache] = JoinedCache(layers, kKeyCache);
      chain.operands[kChainValueCache] = JoinedCache(layers, kValueCache);
      chain.writes[kChainKeyCache] = chain.writes[kChainValueCache] = true;
      chain.operands[kChainSeqlens] = Operand(*first.attention, kSeqlens);
      // A uniform binding is at most 64 KiB, and its memory may be shared with something larger.
      chain.operands[kChainSeqlens].bytes = sizeof(int32_t);
      chain.operands[kRotary] = Constant(first.rotary, {DType::kF16}, "cos and sin");
    }
    for (size_t i = 0; i < parts.links.size(); ++i) {
      const ChainLink& link = parts.links[i];
      chain.operands[OperandOf(i, kLinkB)] = Joined(layers, i, kB);
      chain.operands[OperandOf(i, kLinkScales)] = Joined(layers, i, kScales);
      if (link.residual == ChainLink::kOutside)
        chain.operands[OperandOf(i, kLinkResidual)] = Operand(first.products[i], kResidual);
      if (!link.bound) continue;
      chain.operands[OperandOf(i, kLinkY)] = Operand(layers.back().products[i], kY);
      chain.writes[OperandOf(i, kLinkY)] = true;
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

  // Gives each chain memory of its own that its rows go through.
  void AllocateRows() {
    BufferInfo info = {.kind = BufferInfo::Kind::kRows,
                       .name = "rows of chains",
                       .bytes = (kernels::kChainStuckWord + 1) * sizeof(uint32_t)};
    const int buffer = static_cast<int>(lowered_.buffers.size());
    for (Dispatch& chain : lowered_.dispatches) {
      if (!chain.is_chain()) continue;
      kernels::ChainParams params;
      SINTER_CHECK(chain.plan.params.size() == sizeof(params));
      std::memcpy(&params, chain.plan.params.data(), sizeof(params));
      params.rows = static_cast<uint32_t>(info.bytes / sizeof(uint32_t));
      chain.plan.SetParams(params);
      info.bytes += std::exchange(chain.operands[kRows], BufferRef{buffer}).bytes;
    }
    lowered_.buffers.push_back(std::move(info));
  }

  // Layers' constants that are parts of larger ones now must not be uploaded on their own.
  void DropUnusedBuffers() {
    const std::vector<int> uses = CountUses(lowered_);
    std::vector<BufferInfo> kept;
    std::vector<int> number(uses.size(), -1);
    for (size_t i = 0; i < uses.size(); ++i) {
      BufferInfo& info = lowered_.buffers[i];
      if (uses[i] == 0 && info.kind != BufferInfo::Kind::kExternal) continue;
      number[i] = static_cast<int>(kept.size());
      kept.push_back(std::move(info));
    }
    lowered_.buffers = std::move(kept);
    for (Dispatch& dispatch : lowered_.dispatches) {
      for (BufferRef& ref : dispatch.operands) {
        if (ref) ref.buffer = number[static_cast<size_t>(ref.buffer)];
      }
    }
  }

  Lowered& lowered_;
  const Caps& caps_;
  const std::string_view forced_;
  const Choices& choices_;
  // What was measured for a chain before.
  std::string chosen_;
  std::vector<int> uses_;
  std::vector<Dispatch> all_;
  // Those that several chains have (cos and sin) are one.
  std::map<WeightKey, int> constants_;
};

}  // namespace

void ChainProducts(Lowered& lowered, const Caps& caps, const ForcedVariants& variants,
                   const Choices& choices) {
  const auto it = variants.find(kKernel);
  Chainer(lowered, caps, it == variants.end() ? std::string_view{} : it->second, choices).Join();
}

bool IsTableOfChain(size_t operand) {
  return operand == kInput || operand == kRotary || operand == kernels::kChainTableScalesOperand;
}

}  // namespace sinter::compile
