// Cases of chains of products: each link against the composition of its parts' references.

#include "kernels/matmul_nbits/matmul_nbits_chain.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "base/check.h"
#include "base/error.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/testing/kernel_case.h"

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

// Output projection, gate and up, down, QKV of a layer: hidden size, heads' and MLP's width.
std::vector<ChainLink> Layer(uint32_t hidden, uint32_t heads, uint32_t mlp, uint32_t qkv) {
  return {{Product(hidden, heads, true), ChainLink::kOutside, false},
          {NormProduct(mlp, hidden, Glu::kSilu), ChainLink::kNone, false},
          {Product(hidden, mlp, true), 0, true},
          {NormProduct(qkv, hidden), ChainLink::kNone, true}};
}

UnaryOp ActivationOp(Glu glu) {
  if (glu == Glu::kSilu) return UnaryOp::kQuickGelu;
  return glu == Glu::kGelu ? UnaryOp::kGelu : UnaryOp::kGeluTanh;
}

struct LinkWeights {
  std::vector<std::byte> b;
  std::vector<double> scales, bias, norm_scale;
};

// Weights by which a row keeps its size, so that errors are carried on as they are: codes less 8
// have a standard deviation of 4.6.
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

// Elements of a link's result are off by the rounding to f16 and, for each link so far, by what its
// operands are off: errors of a row that is as large as 4 standard deviations, which add up at
// random in a product that keeps a row's size, five standard deviations of them; a gate multiplies
// two.
double Tolerance(size_t link) {
  return 5 * 4 * Epsilon(DType::kF16) * 3 * std::sqrt(static_cast<double>(link) + 1);
}

std::vector<Operand> MakeOperands(const std::vector<ChainLink>& links) {
  const DType f16 = DType::kF16;
  const std::vector<double> input = RandomValues(f16, links[0].shape.k, 1);
  size_t words = kChainHeadWords;
  for (size_t i = 0; i + 1 < links.size(); ++i) words += links[i].shape.n / 2;
  const std::vector<double> rows(words, 0.0);
  std::vector<double> rows_after = rows;
  std::fill(rows_after.begin() + kChainHeadWords, rows_after.end(), kAnything);
  // What another chain has left, of a length of its own.
  const std::vector<double> old_rows(kChainHeadWords + 1234, 7.0);
  std::vector<double> old_rows_after = old_rows;
  std::fill(old_rows_after.begin() + kChainHeadWords, old_rows_after.end(), 0.0);
  std::vector<Operand> operands = {
      Operand::Input(f16, input),
      {.dtype = DType::kU32, .values = rows, .expected = rows_after},
      {.dtype = DType::kU32, .values = old_rows, .expected = old_rows_after}};
  std::vector<std::vector<double>> results;
  for (size_t i = 0; i < links.size(); ++i) {
    const MatMulNBitsShape& shape = links[i].shape;
    const auto seed = static_cast<uint32_t>(10 * i + 10);
    const LinkWeights weights = MakeWeights(shape, seed);
    std::vector<double> residual;
    if (links[i].residual == ChainLink::kOutside) residual = RandomValues(f16, shape.n, seed + 4);
    if (links[i].residual >= 0) residual = results[static_cast<size_t>(links[i].residual)];
    results.push_back(Reference(shape, weights, i == 0 ? input : results.back(), residual));
    const auto optional = [](bool there, const std::vector<double>& values) {
      return there ? Operand::Input(DType::kF16, values) : Operand::Absent();
    };
    operands.push_back(Operand::Packed(weights.b));
    operands.push_back(Operand::Input(f16, weights.scales));
    operands.push_back(optional(shape.bias, weights.bias));
    operands.push_back(optional(shape.norm.present, weights.norm_scale));
    operands.push_back(optional(links[i].residual == ChainLink::kOutside, residual));
    operands.push_back(links[i].keeps
                           ? Operand::Output(f16, results.back(), Tolerance(i), Tolerance(i))
                           : Operand::Absent());
  }
  return operands;
}

std::string Name(const std::vector<ChainLink>& links) {
  std::string name = fmt::format("blk{}", links[0].shape.block_size);
  for (const ChainLink& link : links) {
    const MatMulNBitsShape& shape = link.shape;
    name += fmt::format("_{}x{}{}{}{}{}", shape.n, shape.k, shape.norm.present ? ".norm" : "",
                        shape.glu == Glu::kNone ? "" : ".glu", shape.bias ? ".bias" : "",
                        shape.residual ? ".residual" : "");
  }
  return name;
}

std::vector<KernelCase> MakeCases(const gpu::Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const std::vector<ChainLink>& links,
                       std::vector<std::string> variants = {""}) {
    if (!IsChainLink(caps, Product(64, 64))) return;
    SINTER_CHECK(!ChainVariants(caps, links).empty(), "{}", Name(links));
    cases.push_back({.name = Name(links),
                     .operands = [=] { return MakeOperands(links); },
                     .variants = std::move(variants),
                     .plan =
                         [=](const gpu::Caps& actual, std::string_view variant) {
                           return PlanMatMulNBitsChain(actual, links, variant).kernel;
                         }});
  };
  // Cuts of the work on rows off every multiple: one output a team or as many as it can have,
  // weights at once or in parts.
  const int workgroups = caps.software ? 1 : 8;
  std::vector<std::string> cuts = {fmt::format("chain.wg512x{}.a4", workgroups),
                                   fmt::format("chain.wg512x{}.a16", workgroups),
                                   fmt::format("chain.wg1024x{}.a12", workgroups)};
  // Several workgroups that wait for each other: on a CPU as many as it has threads for them.
  if (!caps.software || std::thread::hardware_concurrency() > 1)
    cuts.push_back(fmt::format("chain.wg256x{}.a12", 2 * workgroups));
  add(Layer(160, 288, 224, 222), cuts);
  // What stands around the products.
  for (const Glu glu : {Glu::kGelu, Glu::kGeluTanh}) {
    add({{NormProduct(96, 64, glu, true), ChainLink::kNone, false},
         {Product(64, 96, true, true), ChainLink::kOutside, false},
         {NormProduct(98, 64, Glu::kNone, true), ChainLink::kNone, true}});
  }
  std::vector<ChainLink> wide = Layer(128, 256, 128, 64);
  for (ChainLink& link : wide) link.shape.block_size = 128;
  wide[0].keeps = true;
  wide.pop_back();
  add(wide);
  // Parts of a layer, one link, and the least sizes.
  add({{NormProduct(64, 96, Glu::kSilu), ChainLink::kNone, false},
       {Product(96, 64, true), ChainLink::kOutside, true}});
  add({{NormProduct(64, 32), ChainLink::kNone, true},
       {Product(2, 64, true), ChainLink::kOutside, true}});
  add({{Product(250, 64), ChainLink::kNone, true}});
  // Qwen3-1.7B, Phi-3-mini and Llama-3.2-1B, on more workgroups than a CPU holds. No benchmark:
  // once the rows are there, nobody waits.
  if (caps.software) return cases;
  const std::vector<ChainLink> qwen = Layer(2048, 2048, 6144, 4096);
  add(qwen, ChainVariants(caps, qwen));
  add(Layer(3072, 3072, 8192, 9216));
  add(Layer(2048, 2048, 8192, 3072));
  return cases;
}

const bool kRegistered = RegisterKernelCases("matmul_nbits_chain", MakeCases);

gpu::Caps AllCaps() {
  gpu::Caps caps;
  caps.f16 = caps.subgroups = caps.packed_dot_product = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_storage_buffers_per_stage = 16;
  caps.limits.max_workgroup_storage_bytes = 49152;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  return caps;
}

TEST(MatMulNBitsChain, LinksAreWhatTheKernelCanDo) {
  const gpu::Caps caps = AllCaps();
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
       {+[](gpu::Caps& c) { c.f16 = false; }, +[](gpu::Caps& c) { c.packed_dot_product = false; },
        +[](gpu::Caps& c) { c.subgroup_max_size = 64; },
        +[](gpu::Caps& c) { c.subgroup_min_size = c.subgroup_max_size = 4; }}) {
    gpu::Caps less = caps;
    change(less);
    EXPECT_FALSE(IsChainLink(less, good));
  }
}

TEST(MatMulNBitsChain, FitsBindingsMemoryAndEachOther) {
  const gpu::Caps caps = AllCaps();
  const std::vector<ChainLink> layer = Layer(2048, 2048, 6144, 4096);
  EXPECT_FALSE(ChainVariants(caps, layer).empty());
  EXPECT_EQ(PlanMatMulNBitsChain(caps, layer).row_words, kChainHeadWords + 1024 + 3072 + 1024);
  const auto refuses = [&](auto change) {
    std::vector<ChainLink> links = layer;
    gpu::Caps less = caps;
    change(links, less);
    EXPECT_TRUE(ChainVariants(less, links).empty());
    EXPECT_THROW(PlanMatMulNBitsChain(less, links), Error);
  };
  refuses([](auto& links, auto&) { links.clear(); });
  refuses([](auto& links, auto&) { links.push_back(links[0]); });
  refuses([](auto& links, auto&) { links[1].shape.k = 4096; });
  refuses([](auto& links, auto&) { links[2].shape.block_size = 64; });
  refuses([](auto& links, auto&) { links[2].residual = 1; });
  refuses([](auto& links, auto&) { links[2].residual = 2; });
  refuses([](auto& links, auto&) { links[2].residual = ChainLink::kNone; });
  refuses([](auto& links, auto&) { links[3].keeps = false; });
  refuses([](auto&, gpu::Caps& less) { less.limits.max_storage_buffers_per_stage = 15; });
  refuses([](auto&, gpu::Caps& less) { less.limits.max_workgroup_storage_bytes = 12 << 10; });
  refuses([](auto&, gpu::Caps& less) { less.limits.max_workgroups_per_dimension = 16; });
  for (const char* variant : {"chain", "chain.wg512x132", "chain.wg96x8.a4", "chain.wg32x8.a4",
                              "chain.wg2048x8.a4", "chain.wg512x0.a4", "chain.wg512x8.a0"}) {
    EXPECT_THROW(PlanMatMulNBitsChain(caps, layer, variant), Error) << variant;
  }
  EXPECT_EQ(PlanMatMulNBitsChain(caps, layer, "chain.wg512x100.a4").kernel.workgroups[0], 100u);
}

}  // namespace
}  // namespace sinter::kernels
