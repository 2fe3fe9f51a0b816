#include "compile/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "kernels/layer_chain/layer_chain.h"

namespace sinter::compile {
namespace {

using kernels::ChainLink;

using kernels::Role;
using Product = kernels::MatMulNBitsRoles;
using Attention = kernels::GroupQueryAttentionDecodeRoles;
using Roles = kernels::LayerChainRoles;

// Returns the dispatch's part of type `Part`, or null if it is not such a part.
template <typename Part>
const Part* PartOf(const Dispatch& dispatch) {
  return dispatch.part ? std::get_if<Part>(&*dispatch.part) : nullptr;
}
const kernels::MatMulNBitsShape* ProductOf(const Dispatch& dispatch) {
  return PartOf<kernels::MatMulNBitsShape>(dispatch);
}
const kernels::GroupQueryAttentionDecodeShape* AttentionOf(const Dispatch& dispatch) {
  return PartOf<kernels::GroupQueryAttentionDecodeShape>(dispatch);
}
const kernels::ChainTable* TableOf(const Dispatch& dispatch) {
  return PartOf<kernels::ChainTable>(dispatch);
}

// Returns for each buffer how many operands of all dispatches name it.
std::vector<int> CountUses(const Lowered& lowered) {
  std::vector<int> count(lowered.buffers.size());
  for (const Dispatch& dispatch : lowered.dispatches) {
    for (const Operand& operand : dispatch.operands)
      ++count[static_cast<size_t>(operand.buffer.buffer)];
  }
  return count;
}

// Joins runs of a program's dispatches to chains.
class Chainer {
 public:
  Chainer(Lowered& lowered, const Caps& caps, const ForcedVariants& variants,
          const Choices& choices)
      : lowered_(lowered),
        caps_(caps),
        variants_(variants),
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
    DropUnusedBuffers();
  }

 private:
  // Dispatches [begin, end), which form one layer of a chain.
  struct Layer {
    size_t begin = 0, end = 0;
    std::optional<size_t> attention;
    std::vector<size_t> products;
    kernels::Chain chain;
    // Constants that the chain binds as one: biases and norm scales, in the order of ChainVectors.
    std::vector<graph::Tensor> vectors;
    // The cos and the sin cache.
    std::vector<graph::Tensor> rotary;
  };

  // Finds the longest run from `begin` that can be a layer of a chain, and the consecutive layers
  // that are equal to it. Appends the chain and returns the number of dispatches that it replaces,
  // or returns 0 if there is none.
  size_t JoinFrom(size_t begin) {
    const Dispatch* lookup =
        TableOf(all_[begin]) != nullptr && begin + 1 < all_.size() ? &all_[begin] : nullptr;
    std::optional<Layer> first = LongestLayer(lookup != nullptr ? begin + 1 : begin);
    if (!first) return 0;
    kernels::Chain chain = first->chain;
    if (lookup != nullptr) {
      chain.table = *TableOf(*lookup);
      const BufferRef x = lookup->Find(kernels::RolesOf(*chain.table).row);
      if (InputOf(*first).buffer != x.buffer || !IsInner(x, ReadersOfInput(*first)) ||
          kernels::ChainTunings(caps_, chain).empty()) {
        return 0;
      }
    }
    std::vector<Layer> layers;
    layers.push_back(*std::move(first));
    while (std::optional<Layer> next =
               LayerAt(layers.back().end, layers[0].chain.links.size(), chain.attention_at)) {
      const std::optional<kernels::Chain> longer = Extended(chain, layers, *next);
      if (!longer || kernels::ChainTunings(caps_, *longer).empty()) break;
      chain = *longer;
      layers.push_back(*std::move(next));
    }
    lowered_.dispatches.push_back(MakeChain(chain, layers, lookup));
    return layers.back().end - begin;
  }

  std::optional<Layer> LongestLayer(size_t begin) const {
    const bool attends = AttentionOf(all_[begin]) != nullptr;
    const size_t attention_at =
        !attends && begin + 1 < all_.size() && AttentionOf(all_[begin + 1]) != nullptr ? 1 : 0;
    const size_t least = attends ? 1 : 2;
    for (size_t links = kernels::kMaxChainLinks; links >= least; --links) {
      std::optional<Layer> layer = LayerAt(begin, links, attention_at);
      if (layer && !kernels::ChainTunings(caps_, layer->chain).empty()) return layer;
    }
    return std::nullopt;
  }

  const BufferInfo& Info(BufferRef ref) const {
    return lowered_.buffers[static_cast<size_t>(ref.buffer)];
  }
  // Returns whether only the dispatch that writes the buffer and `readers` other operands name it.
  bool IsInner(BufferRef ref, int readers) const {
    return Info(ref).kind == BufferInfo::Kind::kIntermediate &&
           uses_[static_cast<size_t>(ref.buffer)] == 1 + readers;
  }
  bool IsWholeConstant(BufferRef ref) const {
    const BufferInfo& info = Info(ref);
    return info.kind == BufferInfo::Kind::kWeight && ref.offset == 0 &&
           (ref.bytes == 0 || ref.bytes == info.bytes);
  }

  // Appends the tensors of a buffer. Returns false if it is not a whole constant of f16.
  bool Append(BufferRef ref, std::vector<graph::Tensor>& to) const {
    const BufferInfo& info = Info(ref);
    if (!IsWholeConstant(ref) || info.form.dtype != DType::kF16) return false;
    to.insert(to.end(), info.tensors.begin(), info.tensors.end());
    return true;
  }

  BufferRef Find(size_t dispatch, const Role& role) const { return all_[dispatch].Find(role); }

  // Returns `links` products from `begin` on, each of which reads what the previous dispatch wrote.
  // Before product `attention_at` there may be an attention. Returns nothing if the dispatches are
  // not of this form.
  std::optional<Layer> LayerAt(size_t begin, size_t links, size_t attention_at) const {
    Layer layer = {.begin = begin, .end = begin};
    BufferRef row;  // output of the previous dispatch
    for (size_t i = 0; i < links; ++i) {
      if (i == attention_at && layer.end < all_.size() && AttentionOf(all_[layer.end]) != nullptr) {
        const BufferRef query = Find(layer.end, Attention::kQuery);
        if (i > 0 && query.buffer != row.buffer) return std::nullopt;
        row = Find(layer.end, Attention::kOutput);
        layer.attention = layer.end++;
      }
      if (layer.end == all_.size()) return std::nullopt;
      const Dispatch& product = all_[layer.end];
      if (ProductOf(product) == nullptr) return std::nullopt;
      if ((i > 0 || layer.attention) && product.Find(Product::kA).buffer != row.buffer)
        return std::nullopt;
      row = product.Find(Product::kY);
      layer.products.push_back(layer.end++);
    }
    layer.chain.attention_at = attention_at;
    if (!AddLinks(layer) || !AddAttention(layer)) return std::nullopt;
    return layer;
  }

  // Returns the buffer that the layer's first dispatch reads.
  BufferRef InputOf(const Layer& layer) const {
    return Find(layer.begin, layer.attention == layer.begin ? Attention::kQuery : Product::kA);
  }
  BufferRef OutputOf(const Layer& layer) const { return Find(layer.products.back(), Product::kY); }

  // Returns how many operands of a layer read its input.
  static int ReadersOfInput(const Layer& layer) {
    const auto reads = [](const ChainLink& link) { return link.residual == ChainLink::kInput; };
    return 1 + static_cast<int>(std::ranges::count_if(layer.chain.links, reads));
  }

  bool AddLinks(Layer& layer) const {
    const std::vector<size_t>& products = layer.products;
    std::vector<ChainLink>& links = layer.chain.links;
    // Number of operands in the layer that read each link's Y.
    std::vector<int> readers(products.size());
    for (size_t i = 0; i < products.size(); ++i) {
      const Dispatch& product = all_[products[i]];
      ChainLink link = {.shape = *ProductOf(product)};
      if (i > 0) ++readers[i - 1];
      if (link.shape.residual) {
        const BufferRef residual = product.Find(Product::kResidual);
        link.residual = ChainLink::kOutside;
        if (layer.attention != layer.begin && residual.buffer == InputOf(layer).buffer)
          link.residual = ChainLink::kInput;
        for (size_t j = 0; j < i; ++j) {
          if (residual.buffer != Find(products[j], Product::kY).buffer) continue;
          link.residual = static_cast<int>(j);
          ++readers[j];
        }
      }
      links.push_back(link);
      for (const Role& role : {Product::kNormScale, Product::kBias}) {
        const BufferRef vector = product.Find(role);
        if (vector && !Append(vector, layer.vectors)) return false;
      }
    }
    for (size_t i = 0; i + 1 < products.size(); ++i)
      links[i].bound = !IsInner(Find(products[i], Product::kY), readers[i]);
    return true;
  }

  bool AddAttention(Layer& layer) const {
    if (!layer.attention) return true;
    const Dispatch& attention = all_[*layer.attention];
    layer.chain.attention = *AttentionOf(attention);
    if (!IsInner(attention.Find(Attention::kOutput), 1)) return false;
    const auto append = [&](const Role& role, std::vector<graph::Tensor>& to) {
      const BufferRef constant = attention.Find(role);
      return !constant || Append(constant, to);
    };
    return append(Attention::kQNormWeight, layer.vectors) &&
           append(Attention::kKNormWeight, layer.vectors) &&
           append(Attention::kCos, layer.rotary) && append(Attention::kSin, layer.rotary);
  }

  // Returns the chain with `next` as one more layer, or nothing if `next` cannot follow.
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
    const auto joins = [&](size_t link, const Role& role) {
      const BufferRef ref = Find(next.products[link], role);
      const uint64_t bytes = Info(ref).bytes;
      // The layers' weights are bound concatenated. Each one starts where a program of one layer
      // can bind it as well.
      return IsWholeConstant(ref) && IsWholeConstant(Find(first.products[link], role)) &&
             bytes % caps_.limits.min_storage_offset_alignment == 0 &&
             bytes * (layers.size() + 1) <= caps_.limits.max_storage_binding_bytes;
    };
    for (size_t i = 0; i < next.products.size(); ++i) {
      if (!joins(i, Product::kB) || !joins(i, Product::kScales)) return std::nullopt;
    }
    kernels::Chain longer = chain;
    ++longer.layers;
    if (!next.attention) return longer;
    for (const Role& role :
         {Attention::kSeqlens, Attention::kPageTable, Attention::kCos, Attention::kSin}) {
      if (Find(*next.attention, role).buffer != Find(*first.attention, role).buffer)
        return std::nullopt;
    }
    const uint64_t row =
        DTypeBytes(chain.attention->attention.dtype, chain.attention->attention.head_size);
    // The distance from layer to layer must be constant, equal for keys and values, and all layers
    // must fit one binding.
    std::optional<uint64_t> step;
    if (layers.size() > 1) step = chain.cache_layer * row;
    for (const Role& cache : {Attention::kKeyCache, Attention::kValueCache}) {
      const BufferInfo& from = Info(Find(*first.attention, cache));
      const BufferInfo& to = Info(Find(*next.attention, cache));
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

  // Returns the operand `role` of a link, concatenated over all layers.
  BufferRef Joined(const std::vector<Layer>& layers, size_t link, const Role& role) {
    const BufferRef first = Find(layers[0].products[link], role);
    if (layers.size() == 1) return first;
    std::vector<graph::Tensor> tensors;
    for (const Layer& layer : layers) {
      const std::vector<graph::Tensor>& own = Info(Find(layer.products[link], role)).tensors;
      tensors.insert(tensors.end(), own.begin(), own.end());
    }
    return Constant(std::move(tensors), Info(first).form, Info(first).name + " and on");
  }

  BufferRef JoinedCache(const std::vector<Layer>& layers, const Role& cache) const {
    BufferRef ref = Find(*layers[0].attention, cache);
    if (layers.size() == 1) return ref;
    const BufferInfo& last = Info(Find(*layers.back().attention, cache));
    ref.bytes = last.place.offset + last.bytes - Info(ref).place.offset;
    return ref;
  }

  // Makes the dispatch of a chain. `lookup` is the embedding lookup before it, or null if the first
  // layer's input is a row.
  Dispatch MakeChain(const kernels::Chain& parts, const std::vector<Layer>& layers,
                     const Dispatch* lookup) {
    const kernels::Tunable tunable = kernels::LayerChainTunable(caps_, parts);
    Dispatch chain{Tune(tunable, variants_, choices_, chosen_)};
    if (const auto it = choices_.find(chain.kind); it != choices_.end()) chosen_ = it->second;
    const auto add = [&](const Dispatch& part) {
      chain.nodes.insert(chain.nodes.end(), part.nodes.begin(), part.nodes.end());
      if (chain.label.empty()) chain.label = part.label;
    };
    if (lookup != nullptr) add(*lookup);
    for (const Layer& layer : layers) {
      for (size_t i = layer.begin; i < layer.end; ++i) add(all_[i]);
    }
    chain.label = fmt::format("{} and {} more", chain.label, chain.nodes.size() - 1);
    AddOperands(parts, layers, lookup, chain);
    // The rows must have room for any plan, because measuring tries them all.
    uint64_t words = chain.plan.row_words;
    for (const std::string& variant : tunable.variants())
      words = std::max(words, tunable.plan(variant).row_words);
    AddRows(words, chain);
    return chain;
  }

  // Binds the buffer of rows and reserves a part of it for the chain.
  void AddRows(uint64_t words, Dispatch& chain) {
    if (rows_ < 0) {
      rows_ = static_cast<int>(lowered_.buffers.size());
      lowered_.buffers.push_back({.kind = BufferInfo::Kind::kRows,
                                  .name = "rows of chains",
                                  .bytes = (kernels::kChainStuckWord + 1) * sizeof(uint32_t)});
    }
    BufferInfo& info = lowered_.buffers[static_cast<size_t>(rows_)];
    kernels::PlaceChainRows(info.bytes / sizeof(uint32_t), chain.plan);
    info.bytes += words * sizeof(uint32_t);
    chain.operands.push_back({Roles::kRows, {rows_}});
  }

  void AddOperands(const kernels::Chain& parts, const std::vector<Layer>& layers,
                   const Dispatch* lookup, Dispatch& chain) {
    const Layer& first = layers[0];
    const auto add = [&](const Role& role, BufferRef ref) {
      if (ref) chain.operands.push_back({role, ref});
    };
    // Binds only the bytes that the kernel reads: a uniform binding is at most 64 KiB, and the
    // buffer may be part of something larger.
    const auto add_uniform = [&](const Role& role, BufferRef ref, uint64_t bytes) {
      ref.bytes = bytes;
      add(role, ref);
    };
    std::vector<graph::Tensor> vectors;
    for (const Layer& layer : layers)
      vectors.insert(vectors.end(), layer.vectors.begin(), layer.vectors.end());
    if (lookup == nullptr) add(Roles::kX, InputOf(first));
    add(Roles::kVectors, Constant(std::move(vectors), {DType::kF16}, chain.label + " vectors"));
    if (first.attention) {
      add(Roles::kKeyCache, JoinedCache(layers, Attention::kKeyCache));
      add(Roles::kValueCache, JoinedCache(layers, Attention::kValueCache));
      add_uniform(Roles::kSeqlens, Find(*first.attention, Attention::kSeqlens), sizeof(int32_t));
      add_uniform(Roles::kPageTable, Find(*first.attention, Attention::kPageTable),
                  parts.attention->attention.page_entries * sizeof(int32_t));
      add(Roles::kRotary, Constant(first.rotary, {DType::kF16}, "cos and sin"));
    }
    for (size_t i = 0; i < parts.links.size(); ++i) {
      const ChainLink& link = parts.links[i];
      add(Roles::B(i), Joined(layers, i, Product::kB));
      add(Roles::Scales(i), Joined(layers, i, Product::kScales));
      if (link.residual == ChainLink::kOutside)
        add(Roles::Residual(i), Find(first.products[i], Product::kResidual));
      if (link.bound) add(Roles::Y(i), Find(layers.back().products[i], Product::kY));
    }
    if (lookup == nullptr) return;
    const kernels::ChainTableRoles table = kernels::RolesOf(*parts.table);
    add(Roles::kTable, lookup->Find(table.table));
    add_uniform(Roles::kToken, lookup->Find(table.token), sizeof(int32_t));
    add(Roles::kTableScales, lookup->Find(table.scales));
  }

  // Withdraws the alternatives of kinds that few chains have, such as the last layer's chain. Each
  // plan of a kind takes seconds to compile. Such a chain takes the variant that was chosen for the
  // chain before it.
  void MeasureNoRareKinds() {
    std::map<std::string, int> counts;
    int most = 0;
    for (const Dispatch& dispatch : lowered_.dispatches) {
      if (dispatch.is_chain()) most = std::max(most, ++counts[dispatch.kind]);
    }
    for (Dispatch& dispatch : lowered_.dispatches) {
      if (dispatch.is_chain() && 4 * counts[dispatch.kind] < most) dispatch.alternatives = nullptr;
    }
  }

  // Removes the constants of single layers that became parts of concatenated ones: they must not be
  // uploaded on their own.
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
      for (Operand& operand : dispatch.operands)
        operand.buffer.buffer = number[static_cast<size_t>(operand.buffer.buffer)];
    }
  }

  Lowered& lowered_;
  const Caps& caps_;
  const ForcedVariants& variants_;
  const Choices& choices_;
  // Variant that measuring chose for a previous chain.
  std::string chosen_;
  std::vector<int> uses_;
  std::vector<Dispatch> all_;
  // Concatenated constants that exist already: chains share cos and sin.
  std::map<WeightKey, int> constants_;
  // Buffer that holds the rows of all chains; -1 before the first chain.
  int rows_ = -1;
};

}  // namespace

void ChainProducts(Lowered& lowered, const Caps& caps, const ForcedVariants& variants,
                   const Choices& choices) {
  Chainer(lowered, caps, variants, choices).Join();
}

}  // namespace sinter::compile
