// Cases of chains. Each link is checked against the composition of its parts' references.

#include "kernels/layer_chain/layer_chain.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <tuple>

#include "base/check.h"
#include "base/error.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/testing/kernel_case.h"
#include "kernels/testing/page_tables.h"

namespace sinter::kernels {
namespace {

constexpr double kAnything = std::numeric_limits<double>::quiet_NaN();

MatMulNBitsShape Product(uint32_t n, uint32_t k, bool residual = false, bool bias = false) {
  return {.m = 1, .n = n, .k = k, .dtype = DType::kF16, .bias = bias, .residual = residual};
}

MatMulNBitsShape NormProduct(uint32_t n, uint32_t k, Glu glu = Glu::kNone, bool bias = false) {
  MatMulNBitsShape shape = Product(n, k, false, bias);
  shape.glu = glu;
  shape.norm = {.present = true, .input_dtype = DType::kF16, .scale_dtype = DType::kF16};
  return shape;
}

constexpr bool kInner = false, kBound = true;

// Returns output projection, gate and up, down, and QKV of a layer, for a hidden size and the
// widths of heads, MLP and QKV.
Chain Layer(uint32_t hidden, uint32_t heads, uint32_t mlp, uint32_t qkv) {
  return {.links = {{Product(hidden, heads, true), ChainLink::kOutside, kInner},
                    {NormProduct(mlp, hidden, Glu::kSilu), ChainLink::kNone, kInner},
                    {Product(hidden, mlp, true), 0, kBound},
                    {NormProduct(qkv, hidden), ChainLink::kNone, kBound}}};
}

// Returns whole layers: QKV, the attention, output projection, gate and up, down.
Chain Layers(uint32_t layers, uint32_t hidden, uint32_t mlp,
             const GroupQueryAttentionDecodeShape& attention) {
  const GroupQueryAttentionShape& heads = attention.attention;
  const uint32_t width = heads.heads * heads.head_size;
  return {.attention = attention,
          .attention_at = 1,
          .links = {{NormProduct(static_cast<uint32_t>(attention.row()), hidden), ChainLink::kNone,
                     kInner},
                    {Product(hidden, width, true), ChainLink::kInput, kInner},
                    {NormProduct(mlp, hidden, Glu::kSilu), ChainLink::kNone, kInner},
                    {Product(hidden, mlp, true), 1, kBound}},
          .layers = layers,
          .cache_layer = heads.kv_heads * heads.capacity + 5};
}

// Returns an attention with a cache of `capacity` rows.
GroupQueryAttentionDecodeShape Attention(uint32_t heads, uint32_t kv_heads, uint32_t head_size,
                                         uint32_t capacity) {
  GroupQueryAttentionDecodeShape shape;
  shape.attention = {.heads = heads,
                     .kv_heads = kv_heads,
                     .head_size = head_size,
                     .capacity = capacity,
                     .dtype = DType::kF16};
  shape.packed = true;
  shape.rotary_dim = head_size;
  shape.rotary_rows = capacity + 3;
  return shape;
}

UnaryOp ActivationOp(Glu glu) {
  if (glu == Glu::kSilu) return UnaryOp::kQuickGelu;
  return glu == Glu::kGelu ? UnaryOp::kGelu : UnaryOp::kGeluTanh;
}

struct LinkWeights {
  std::vector<std::byte> b;
  std::vector<double> scales, bias, norm_scale;
};

// Returns weights that keep the size of a row, so that errors are passed on without growing: codes
// minus 8 have a standard deviation of 4.6.
LinkWeights MakeWeights(const MatMulNBitsShape& shape, uint32_t seed) {
  LinkWeights weights;
  const size_t rows = shape.b_rows();
  weights.b = RandomBytes(rows * shape.b_row_bytes(), seed);
  weights.scales =
      RandomValues(shape.dtype, rows * shape.blocks(), seed + 1, 1 / (4.6 * std::sqrt(shape.k)));
  if (shape.bias) weights.bias = RandomValues(shape.dtype, rows, seed + 2, 0.25);
  if (shape.norm.present) weights.norm_scale = RandomValues(DType::kF16, shape.k, seed + 3);
  return weights;
}

std::vector<double> Reference(const MatMulNBitsShape& shape, const LinkWeights& weights,
                              std::vector<double> row, const std::vector<double>& residual) {
  if (shape.norm.present) {
    row = RmsNormReference(1, shape.k, shape.norm.epsilon, row, weights.norm_scale, {}, {}).output;
  }
  MatMulNBitsShape product = shape;
  product.n = shape.b_rows();
  product.glu = Glu::kNone;
  const std::vector<double> all =
      MatMulNBitsReference(product, row, weights.b, weights.scales, {}, {}, weights.bias);
  std::vector<double> y(shape.n);
  for (size_t n = 0; n < shape.n; ++n) {
    y[n] = all[n];
    if (shape.glu != Glu::kNone) {
      y[n] =
          UnaryReferenceValue(ActivationOp(shape.glu), DType::kF32, y[n], 1.0) * all[shape.n + n];
    }
    if (!residual.empty()) y[n] += residual[n];
  }
  return y;
}

// Returns the error of an element of a link's result: the rounding to f16 and, for each link so
// far, the error of its operands. These are the errors of a row as large as 4 standard deviations,
// which add up at random in a product that keeps a row's size; five standard deviations of them are
// allowed. A gate multiplies two.
double Tolerance(size_t link) {
  return 5 * 4 * Epsilon(DType::kF16) * 3 * std::sqrt(static_cast<double>(link) + 1);
}

// Words of `rows` before the chain's own: kChainStuckWord, and some of other chains.
constexpr size_t kOwnRows = 123;

void Append(std::vector<double>& to, const std::vector<double>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

// Attention of a chain, and the contents of its operands over all layers.
struct AttentionData {
  std::vector<double> seqlens, cos, sin, k, v, k_expected, v_expected, page_table;

  AttentionData(const Chain& chain, uint32_t total) {
    const GroupQueryAttentionDecodeShape& shape = *chain.attention;
    const GroupQueryAttentionShape& attention = shape.attention;
    const size_t layer_rows = size_t{attention.kv_heads} * attention.capacity;
    const size_t rows = (chain.layers - 1) * size_t{chain.cache_layer} + layer_rows;
    const size_t table = size_t{shape.rotary_rows} * shape.rotary_dim / 2;
    seqlens = {total - 1.0};
    if (attention.page_entries > 0)
      page_table = MakePageTable(attention.page_entries, {double(total)}).table;
    cos = RandomValues(DType::kF16, table, 4);
    sin = RandomValues(DType::kF16, table, 5);
    k_expected = k = RandomValues(DType::kF16, rows * attention.head_size, 2);
    v_expected = v = RandomValues(DType::kF16, rows * attention.head_size, 3);
  }

  // Returns the attention's output, and appends to the layer's caches.
  std::vector<double> Run(const Chain& chain, uint32_t layer, const std::vector<double>& query,
                          const std::vector<double>& q_norm, const std::vector<double>& k_norm) {
    const GroupQueryAttentionDecodeShape& shape = *chain.attention;
    const GroupQueryAttentionShape& attention = shape.attention;
    const auto begin =
        static_cast<std::ptrdiff_t>(size_t{layer} * chain.cache_layer * attention.head_size);
    const auto count = static_cast<std::ptrdiff_t>(size_t{attention.kv_heads} * attention.capacity *
                                                   attention.head_size);
    const auto slice = [&](std::vector<double>& cache) {
      return std::vector<double>(cache.begin() + begin, cache.begin() + begin + count);
    };
    std::vector<double> own_k = slice(k_expected), own_v = slice(v_expected);
    std::vector<double> output = GroupQueryAttentionDecodeReference(shape,
                                                                    {.query = query,
                                                                     .seqlens_k = seqlens,
                                                                     .cos = cos,
                                                                     .sin = sin,
                                                                     .q_norm_weight = q_norm,
                                                                     .k_norm_weight = k_norm,
                                                                     .page_table = page_table},
                                                                    own_k, own_v, DType::kF16);
    std::copy(own_k.begin(), own_k.end(), k_expected.begin() + begin);
    std::copy(own_v.begin(), own_v.end(), v_expected.begin() + begin);
    return output;
  }
};

// Row of a table, and the operands that it is read from.
struct TableData {
  Operand rows, token, scales = Operand::Absent();
  std::vector<double> row;

  TableData(const ChainTable& table, size_t cols) {
    const size_t taken = table.rows - std::min(table.rows, 2u);
    const auto begin = static_cast<std::ptrdiff_t>(taken * cols);
    token = Operand::Input(DType::kI32, {static_cast<double>(taken)});
    if (table.block_size == 0) {
      const std::vector<double> all = RandomValues(DType::kF16, table.rows * cols, 8);
      row.assign(all.begin() + begin, all.begin() + begin + static_cast<std::ptrdiff_t>(cols));
      rows = Operand::Input(DType::kF16, all);
      return;
    }
    const std::vector<std::byte> codes = RandomBytes(table.rows * cols / 2, 8);
    const std::vector<double> all =
        RandomValues(DType::kF16, table.rows * cols / table.block_size, 9, 0.2);
    for (size_t i = taken * cols; i < (taken + 1) * cols; ++i) {
      const int code = std::to_integer<int>(codes[i / 2] >> (i % 2 * 4)) & 15;
      row.push_back((code - 8) * all[i / table.block_size]);
    }
    rows = Operand::Packed(codes);
    scales = Operand::Input(DType::kF16, all);
  }
};

// `total` is the number of the cache's rows including the new one.
std::vector<Operand> MakeOperands(const Chain& chain, size_t words, uint32_t total) {
  const DType f16 = DType::kF16;
  const ChainVectors layout = LayOutChainVectors(chain);
  std::vector<double> rows(kOwnRows, 7.0);
  rows[kChainStuckWord] = 0;
  std::vector<double> rows_after = rows;
  rows.resize(kOwnRows + words, 0.0);
  rows_after.resize(kOwnRows + words, kAnything);
  const size_t width =
      chain.attention && chain.attention_at == 0 ? chain.attention->row() : chain.links[0].shape.k;
  std::optional<TableData> table;
  if (chain.table) table.emplace(*chain.table, width);
  const std::vector<double> input = table ? table->row : RandomValues(f16, width, 1);
  std::optional<AttentionData> attention;
  if (chain.attention) attention.emplace(chain, total);

  const size_t links = chain.links.size();
  std::vector<double> vectors;
  std::vector<std::vector<std::byte>> b(links);
  std::vector<std::vector<double>> scales(links), outside(links), results(links);
  std::vector<double> x = input;
  for (uint32_t layer = 0; layer < chain.layers; ++layer) {
    const size_t first_vector = vectors.size();
    vectors.resize(first_vector + layout.count);
    const auto put = [&](uint32_t at, const std::vector<double>& values) {
      std::copy(values.begin(), values.end(),
                vectors.begin() + static_cast<std::ptrdiff_t>(first_vector + at));
    };
    for (size_t i = 0; i < links; ++i) {
      const ChainLink& link = chain.links[i];
      const MatMulNBitsShape& shape = link.shape;
      const auto seed = static_cast<uint32_t>(100 * layer + 10 * i + 10);
      const LinkWeights weights = MakeWeights(shape, seed);
      b[i].insert(b[i].end(), weights.b.begin(), weights.b.end());
      Append(scales[i], weights.scales);
      put(layout.links[i].norm, weights.norm_scale);
      put(layout.links[i].bias, weights.bias);
      std::vector<double> row = i == 0 ? x : results[i - 1];
      if (attention && i == chain.attention_at) {
        std::vector<double> q_norm, k_norm;
        if (chain.attention->has_norm) {
          q_norm = RandomValues(f16, chain.attention->attention.head_size, seed + 6);
          k_norm = RandomValues(f16, chain.attention->attention.head_size, seed + 7);
          put(layout.q_norm, q_norm);
          put(layout.k_norm, k_norm);
        }
        row = attention->Run(chain, layer, row, q_norm, k_norm);
      }
      std::vector<double> residual;
      if (link.residual == ChainLink::kOutside)
        residual = outside[i] = RandomValues(f16, shape.n, seed + 4);
      if (link.residual == ChainLink::kInput) residual = x;
      if (link.residual >= 0) residual = results[static_cast<size_t>(link.residual)];
      results[i] = Reference(shape, weights, row, residual);
    }
    x = results.back();
  }

  std::vector<Operand> operands = {table ? table->rows : Operand::Input(f16, input),
                                   {.dtype = DType::kU32, .values = rows, .expected = rows_after},
                                   Operand::Absent(),
                                   Operand::Absent(),
                                   Operand::Absent(),
                                   Operand::Absent(),
                                   Operand::Absent()};
  if (layout.count > 0) operands[2] = Operand::Input(f16, vectors);
  const size_t steps = (chain.layers - 1) * (links + 1) + (chain.attention ? 1 : 0);
  if (attention) {
    // A key after norm and rotation may round to f16 differently; after products it has their error
    // too.
    const bool first = chain.attention_at == 0;
    const double tolerance = first ? 8 * Epsilon(f16) : Tolerance(steps);
    const double v_tolerance = first ? 0 : tolerance;
    operands[3] = {.dtype = f16,
                   .values = attention->k,
                   .expected = attention->k_expected,
                   .abs_tolerance = tolerance,
                   .rel_tolerance = tolerance};
    operands[4] = {.dtype = f16,
                   .values = attention->v,
                   .expected = attention->v_expected,
                   .abs_tolerance = v_tolerance,
                   .rel_tolerance = v_tolerance};
    operands[5] = Operand::Input(DType::kI32, attention->seqlens);
    std::vector<double> rotary = attention->cos;
    Append(rotary, attention->sin);
    if (chain.attention->rotary_dim > 0) operands[6] = Operand::Input(f16, rotary);
  }
  for (size_t i = 0; i < links; ++i) {
    // Rows of all layers, concatenated.
    MatMulNBitsShape all = chain.links[i].shape;
    all.n *= chain.layers;
    operands.push_back(Operand::Packed(nbits_testing::CodesInOrder(all, b[i])));
    operands.push_back(Operand::Input(f16, nbits_testing::InOrder(all, scales[i])));
    operands.push_back(outside[i].empty() ? Operand::Absent() : Operand::Input(f16, outside[i]));
    const double tolerance = Tolerance(i + steps);
    operands.push_back(chain.links[i].bound ? Operand::Output(f16, results[i], tolerance, tolerance)
                                            : Operand::Absent());
  }
  if (table) {
    operands.resize(LayerChainRoles::kToken.binding - 1, Operand::Absent());
    operands.push_back(table->token);
    operands.push_back(table->scales);
  }
  if (attention && !attention->page_table.empty()) {
    operands.resize(LayerChainRoles::kPageTable.binding - 1, Operand::Absent());
    operands.push_back(Operand::Input(DType::kI32, attention->page_table));
  }
  return operands;
}

std::string Name(const Chain& chain, uint32_t total) {
  std::string name = fmt::format("blk{}{}", chain.links[0].shape.block_size,
                                 chain.links[0].shape.interleave > 1 ? ".by8" : "");
  if (chain.attention) {
    const GroupQueryAttentionDecodeShape& shape = *chain.attention;
    const GroupQueryAttentionShape& attention = shape.attention;
    name += fmt::format(
        "_attention.n{}.kv{}.h{}.of{}.t{}{}{}{}{}{}", attention.heads, attention.kv_heads,
        attention.head_size, attention.capacity, total, shape.has_norm ? ".norm" : "",
        shape.interleaved ? ".interleaved" : "", attention.local_window > 0 ? ".window" : "",
        attention.softcap > 0 ? ".softcap" : "", attention.page_entries > 0 ? ".pages" : "");
  }
  if (chain.table)
    name += fmt::format("_table{}.blk{}", chain.table->rows, chain.table->block_size);
  if (chain.layers > 1) name += fmt::format("_{}layers", chain.layers);
  for (const ChainLink& link : chain.links) {
    const MatMulNBitsShape& shape = link.shape;
    name += fmt::format("_{}x{}{}{}{}{}", shape.n, shape.k, shape.norm.present ? ".norm" : "",
                        shape.glu == Glu::kNone ? "" : ".glu", shape.bias ? ".bias" : "",
                        shape.residual ? ".residual" : "");
  }
  return name;
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  if (!IsChainLink(caps, Product(64, 64))) return cases;
  // Adds a case for the given tunings, or for the best guess if there are none.
  const auto add_in_order = [&](uint32_t total, const Chain& chain,
                                const std::vector<ChainTuning>& tunings) {
    SINTER_CHECK(!ChainTunings(caps, chain).empty(), "{}", Name(chain, total));
    const auto plan = [=](const Caps& actual, std::string_view variant) {
      const auto tuning = std::ranges::find(tunings, variant, ChainVariant);
      KernelPlan planned = tuning == tunings.end() ? PlanLayerChain(actual, chain, variant)
                                                   : PlanLayerChain(actual, chain, *tuning);
      PlaceChainRows(kOwnRows, planned);
      return planned;
    };
    std::vector<std::string> variants;
    for (const ChainTuning& tuning : tunings) variants.push_back(ChainVariant(tuning));
    if (variants.empty()) variants = {""};
    // The buffer of rows is large enough for every variant.
    uint64_t words = 0;
    for (const std::string& variant : variants)
      words = std::max(words, plan(caps, variant).row_words);
    cases.push_back({.name = Name(chain, total),
                     .operands = [=] { return MakeOperands(chain, words, total); },
                     .variants = variants,
                     .plan = plan});
  };
  // Adds the case row by row and, if possible, with interleaved rows.
  const auto add_at = [&](uint32_t total, const Chain& chain,
                          const std::vector<ChainTuning>& tunings = {}) {
    const bool fits = !ChainTunings(caps, chain).empty();
    if (fits) add_in_order(total, chain, tunings);
    Chain together = chain;
    for (ChainLink& link : together.links) {
      if (link.shape.n % kInterleavedRows != 0) return;
      link.shape.interleave = kInterleavedRows;
    }
    if (fits || !ChainTunings(caps, together).empty()) add_in_order(total, together, tunings);
  };
  const auto add = [&](const Chain& chain, const std::vector<ChainTuning>& tunings = {}) {
    add_at(0, chain, tunings);
  };
  // Tunings for rows that are no multiples of anything: one output per team or as many as possible,
  // weights at once or in parts.
  const uint32_t workgroups = caps.software ? 1 : 8;
  std::vector<ChainTuning> cuts = {
      {512, workgroups, 4}, {512, workgroups, 16}, {1024, workgroups, 12}};
  // Several workgroups that wait for each other: on a CPU as many as it has threads for.
  const bool several = !caps.software || std::thread::hardware_concurrency() > 1;
  const ChainTuning shared = {256, several ? 2 * workgroups : 1, 12};
  cuts.push_back(shared);
  add(Layer(160, 288, 224, 222), cuts);
  add(Layer(160, 288, 224, 232), cuts);
  // Parts around the products.
  for (const Glu glu : {Glu::kGelu, Glu::kGeluTanh}) {
    add({.links = {{NormProduct(96, 64, glu, true), ChainLink::kNone, kInner},
                   {Product(64, 96, true, true), ChainLink::kOutside, kBound},
                   {NormProduct(98, 64, Glu::kNone, true), ChainLink::kNone, kBound}}});
  }
  Chain wide = Layer(128, 256, 128, 64);
  for (ChainLink& link : wide.links) link.shape.block_size = 128;
  wide.links[0].bound = true;
  add(wide);
  // Parts of a layer, one link, and the smallest sizes.
  add({.links = {{NormProduct(64, 96, Glu::kSilu), ChainLink::kNone, kInner},
                 {Product(96, 64, true), ChainLink::kOutside, kBound}}});
  add({.links = {{NormProduct(64, 32), ChainLink::kNone, kBound},
                 {Product(2, 64, true), ChainLink::kOutside, kBound}}});
  add({.links = {{Product(250, 64), ChainLink::kNone, kBound}}});

  // Chains with an attention: groups of one to four heads, sizes with idle lanes, the first row,
  // one tile, several tiles per split, a full cache.
  const auto add_attention = [&](const GroupQueryAttentionDecodeShape& shape, uint32_t total,
                                 const std::vector<ChainTuning>& tunings) {
    // The attention follows a product, or reads the input.
    const Chain whole = Layers(2, 64, 96, shape);
    Chain rest = whole;
    rest.links.erase(rest.links.begin());
    rest.links[0].residual = ChainLink::kOutside;
    rest.links[2].residual = 0;
    rest.attention_at = 0;
    rest.layers = 1;
    for (const Chain& chain : {whole, rest}) {
      add_at(total, chain, tunings);
    }
  };
  const ChainTuning least = {256, workgroups, 12};
  for (const uint32_t total : {1u, 2u, 33u, 200u}) {
    add_attention(Attention(4, 2, 32, 200), total, {least, shared});
  }
  for (const auto& [heads, kv_heads, size] : {std::tuple{2u, 2u, 16u},
                                              {4u, 1u, 64u},
                                              {6u, 2u, 48u},
                                              {4u, 2u, 96u},
                                              {4u, 2u, 128u},
                                              {2u, 1u, 256u}}) {
    GroupQueryAttentionDecodeShape shape = Attention(heads, kv_heads, size, 300);
    shape.has_norm = true;
    add_attention(shape, 150, {shared});
  }
  GroupQueryAttentionDecodeShape special = Attention(4, 2, 64, 300);
  special.attention.local_window = 100;
  special.attention.softcap = 2;
  special.attention.scale = 0.5;
  special.interleaved = true;
  special.rotary_dim = 32;
  for (const uint32_t total : {60u, 250u}) add_attention(special, total, {shared});
  special.rotary_dim = 0;
  special.attention.local_window = 0;
  add_attention(special, 80, {shared});

  // Caches in pages: the first row, a page that is just full, the first row of a page, and several
  // pages; tiles of fewer and of more rows than a page.
  for (const auto& [size, total, window] : {std::tuple{32u, 1u, -1},
                                            {32u, 64u, -1},
                                            {64u, 65u, -1},
                                            {64u, 250u, 100},
                                            {16u, 250u, -1}}) {
    const PageTable pages = MakePageTable(4, {double(total)});
    GroupQueryAttentionDecodeShape shape = Attention(4, 2, size, pages.capacity);
    shape.attention.page_entries = pages.entries;
    shape.attention.local_window = window;
    shape.has_norm = true;
    shape.rotary_rows = 260;
    add_at(total, Layers(2, 64, 96, shape), {shared});
  }

  // Several layers, with and without attention.
  GroupQueryAttentionDecodeShape attention = Attention(4, 2, 32, 70);
  attention.has_norm = true;
  for (const uint32_t layers : {1u, 2u, 5u}) {
    const Chain chain = Layers(layers, 64, 96, attention);
    add_at(40, chain, {least, shared});
    add({.links = {{NormProduct(96, 64, Glu::kSilu, true), ChainLink::kNone, kInner},
                   {Product(64, 96, true, true), ChainLink::kInput, kBound}},
         .layers = layers});
  }

  // Chains that begin with a token's embedding: elements, and codes.
  for (const ChainTable& table :
       {ChainTable{5, 0}, ChainTable{1, 0}, ChainTable{7, 32}, ChainTable{3, 16}}) {
    Chain chain = Layers(2, 64, 96, attention);
    chain.table = table;
    add_at(40, chain, {least, shared});
    add({.table = table,
         .links = {{NormProduct(96, 64, Glu::kSilu, true), ChainLink::kNone, kInner},
                   {Product(64, 96, true, true), ChainLink::kInput, kBound}}});
  }

  // Sizes of Qwen3-1.7B, Phi-3-mini and Llama-3.2-1B, with more workgroups than a CPU runs at once.
  // They are not timed: once the rows are there, no workgroup waits.
  if (caps.software) return cases;
  GroupQueryAttentionDecodeShape qwen = Attention(16, 8, 128, 1024);
  qwen.has_norm = true;
  add_at(512, Layers(2, 2048, 6144, qwen));
  add_at(1000, Layers(2, 3072, 8192, Attention(32, 32, 96, 1024)));
  add_at(1024, Layers(2, 2048, 8192, Attention(32, 8, 64, 1024)));
  return cases;
}

const bool kRegistered = RegisterKernelCases("layer_chain", MakeCases);

Caps AllCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = caps.packed_dot_product = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_storage_buffers_per_stage = 16;
  caps.limits.max_workgroup_storage_bytes = 49152;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  return caps;
}

TEST(LayerChain, LinksAreWhatTheKernelCanDo) {
  const Caps caps = AllCaps();
  const MatMulNBitsShape good = Product(64, 64);
  EXPECT_TRUE(IsChainLink(caps, good));
  const auto refuses = [&](auto change) {
    MatMulNBitsShape shape = good;
    change(shape);
    EXPECT_FALSE(IsChainLink(caps, shape));
  };
  refuses([](MatMulNBitsShape& shape) { shape.m = 2; });
  refuses([](MatMulNBitsShape& shape) { shape.n = 63; });
  refuses([](MatMulNBitsShape& shape) { shape.k = 80; });
  refuses([](MatMulNBitsShape& shape) { shape.bits = 8; });
  refuses([](MatMulNBitsShape& shape) { shape.block_size = 16; });
  refuses([](MatMulNBitsShape& shape) { shape.dtype = DType::kF32; });
  refuses([](MatMulNBitsShape& shape) { shape.zero_points = ZeroPoints::kPacked; });
  refuses([](MatMulNBitsShape& shape) { shape.n_count = 32; });
  refuses([](MatMulNBitsShape& shape) {
    shape.norm = {.present = true, .skip = Skip::kPlain, .input_dtype = DType::kF16};
  });
  for (const auto change :
       {+[](Caps& c) { c.f16 = false; }, +[](Caps& c) { c.packed_dot_product = false; },
        +[](Caps& c) { c.subgroup_max_size = 64; },
        +[](Caps& c) { c.subgroup_min_size = c.subgroup_max_size = 4; }}) {
    Caps less = caps;
    change(less);
    EXPECT_FALSE(IsChainLink(less, good));
  }
}

TEST(LayerChain, AttentionsAreWhatTheKernelCanDo) {
  const GroupQueryAttentionDecodeShape good = Attention(4, 2, 64, 100);
  EXPECT_TRUE(IsChainAttention(AllCaps(), good));
  const auto refuses = [&](auto change) {
    GroupQueryAttentionDecodeShape shape = good;
    change(shape);
    EXPECT_FALSE(IsChainAttention(AllCaps(), shape));
  };
  refuses([](auto& shape) { shape.attention.batch = 2; });
  refuses([](auto& shape) { shape.attention.sequence = 2; });
  refuses([](auto& shape) { shape.attention.dtype = DType::kF32; });
  refuses([](auto& shape) { shape.attention.heads = 5; });
  refuses([](auto& shape) { shape.attention.heads = 10; });
  refuses([](auto& shape) { shape.attention.head_size = 264; });
  refuses([](auto& shape) { shape.attention.head_size = 60; });
  refuses([](auto& shape) { shape.attention.has_head_sink = true; });
  refuses([](auto& shape) { shape.attention.smooth_softmax = true; });
  refuses([](auto& shape) { shape.attention.bias_total = 100; });
  refuses([](auto& shape) { shape.attention.page_entries = 16385; });
  refuses([](auto& shape) { shape.packed = false; });
  refuses([](auto& shape) { shape.rotary_dim = 24; });
  refuses([](auto& shape) { shape.positions = RotaryPositions::kPositionIds; });
}

TEST(LayerChain, FitsBindingsMemoryAndEachOther) {
  const Caps caps = AllCaps();
  const Chain products = Layer(2048, 2048, 6144, 4096);
  EXPECT_FALSE(ChainTunings(caps, products).empty());
  // A counter per workgroup, and two sets of the rows between links.
  EXPECT_EQ(PlanLayerChain(caps, products).row_words, 128u + 2 * (1024 + 3072 + 1024));
  // All 28 layers in the 16 bindings that Dawn allows.
  GroupQueryAttentionDecodeShape attention = Attention(16, 8, 128, 1024);
  attention.has_norm = true;
  const Chain layer = Layers(28, 2048, 6144, attention);
  EXPECT_FALSE(ChainTunings(caps, layer).empty());
  // QKV; the output; sums, maxima and denominators of 8 heads' 16 splits; the other links' outputs.
  EXPECT_EQ(PlanLayerChain(caps, layer).row_words,
            128u + 2 * 28 * (2048 + 1024 + 8 * 16 * (2 * 128 + 4) + 1024 + 3072 + 1024));
  const auto refuses = [&](auto change) {
    Chain chain = layer;
    Caps less = caps;
    change(chain, less);
    EXPECT_TRUE(ChainTunings(less, chain).empty());
    EXPECT_THROW(PlanLayerChain(less, chain), Error);
  };
  refuses([](Chain& chain, auto&) { chain.links.clear(); });
  refuses([](Chain& chain, auto&) { chain.links.push_back(chain.links[0]); });
  refuses([](Chain& chain, auto&) { chain.links[2].shape.k = 4096; });
  refuses([](Chain& chain, auto&) { chain.links[2].shape.block_size = 64; });
  refuses([](Chain& chain, auto&) { chain.links[3].residual = 2; });
  refuses([](Chain& chain, auto&) { chain.links[3].residual = 3; });
  refuses([](Chain& chain, auto&) { chain.links[3].residual = ChainLink::kNone; });
  refuses([](Chain& chain, auto&) { chain.links[3].bound = false; });
  refuses([](Chain& chain, auto&) { chain.links[1].bound = true; });
  refuses([](Chain& chain, auto&) { chain.links[1].residual = ChainLink::kOutside; });
  refuses([](Chain& chain, auto&) { chain.attention_at = 0; });
  refuses([](Chain& chain, auto&) { chain.attention_at = 2; });
  refuses([](Chain& chain, auto&) { chain.layers = 0; });
  refuses([](Chain& chain, auto&) { chain.table = {.rows = 0}; });
  refuses([](Chain& chain, auto&) { chain.table = {.rows = 1u << 22}; });
  refuses([](Chain& chain, auto&) { chain.table = {.rows = 5, .block_size = 48}; });
  refuses([](Chain& chain, auto&) { chain.attention->attention.heads = 8; });
  refuses([](auto&, Caps& less) { less.limits.max_storage_buffers_per_stage = 14; });
  refuses([](auto&, Caps& less) { less.limits.max_workgroup_storage_bytes = 12 << 10; });
  refuses([](auto&, Caps& less) { less.limits.max_workgroups_per_dimension = 16; });
  for (const ChainTuning& tuning :
       {ChainTuning{96, 8, 4}, ChainTuning{32, 8, 4}, ChainTuning{2048, 8, 4},
        ChainTuning{512, 0, 4}, ChainTuning{512, 8, 0}}) {
    EXPECT_THROW(PlanLayerChain(caps, layer, tuning), Error) << ChainVariant(tuning);
  }
  EXPECT_EQ(PlanLayerChain(caps, layer, ChainTuning{512, 100, 4}).workgroups[0], 100u);
  // Only names of ChainTunings() are known.
  for (const char* variant : {"chain", "chain.wg512x132", "chain.wg512x100.a4"})
    EXPECT_THROW(PlanLayerChain(caps, layer, variant), Error) << variant;
  const ChainTuning least = ChainTunings(caps, layer).back();
  EXPECT_EQ(PlanLayerChain(caps, layer, ChainVariant(least)).workgroups[0], least.workgroups);
}

}  // namespace
}  // namespace sinter::kernels
