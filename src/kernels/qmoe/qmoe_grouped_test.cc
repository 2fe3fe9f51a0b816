// Tests QMoE for many tokens: grouping, the rows around the products, and the whole operator.

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <span>

#include "base/error.h"
#include "kernels/qmoe/qmoe_testing.h"
#include "run/record_plan.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using namespace qmoe;  // NOLINT: the helpers of these tests

// Runs plans in sequence over named buffers.
class Chain {
 public:
  explicit Chain(gpu::Device& device) : device_(device), list_(device) {}

  void Put(const std::string& name, const Operand& operand) {
    const std::vector<std::byte> bytes = EncodeOperand(operand);
    buffers_[name] = device_.CreateBuffer(bytes.size(), name);
    device_.Upload(buffers_[name], 0, bytes);
  }
  void Make(const std::string& name, uint64_t bytes) {
    const std::vector<std::byte> poison(bytes, std::byte{0xff});
    buffers_[name] = device_.CreateBuffer(bytes, name);
    device_.Upload(buffers_[name], 0, poison);
  }
  // Runs a plan. An empty name leaves a binding out.
  void Run(const KernelPlan& plan, const std::vector<std::string>& names) {
    std::vector<gpu::Buffer> buffers;
    for (const std::string& name : names) {
      const auto it = buffers_.find(name);
      buffers.push_back(it == buffers_.end() ? gpu::Buffer() : it->second);
    }
    run::RecordPlan(device_, plan, buffers, list_);
  }
  std::vector<double> Get(const std::string& name, DType dtype, size_t count) {
    if (!ran_) device_.Submit(list_);
    ran_ = true;
    const gpu::Buffer& buffer = buffers_.at(name);
    std::vector<double> values =
        DecodeElements(dtype, device_.Download(buffer, 0, buffer.size_bytes()), count);
    device_.Check();
    return values;
  }

 private:
  gpu::Device& device_;
  gpu::CommandList list_;
  std::map<std::string, gpu::Buffer> buffers_;
  bool ran_ = false;
};

// Returns indices with experts that many slots choose, few, or none.
std::vector<double> UnevenIndices(const QMoEShape& shape) {
  std::vector<double> indices;
  for (uint32_t token = 0; token < shape.tokens; ++token) {
    for (uint32_t slot = 0; slot < shape.top_k; ++slot) {
      indices.push_back(slot == 0 ? 1 : 2 + (token % 3 + slot) % (shape.experts - 3));
    }
  }
  return indices;
}

TEST(QMoEGroup, GivesEachSlotARowOfItsExpert) {
  for (const uint32_t tokens : {1u, 3u, 64u, 65u, 300u}) {
    SCOPED_TRACE(tokens);
    const QMoEShape shape = {.tokens = tokens,
                             .experts = 9,
                             .top_k = 3,
                             .hidden = 32,
                             .intermediate = 32,
                             .block_size = 32};
    const std::vector<double> indices = UnevenIndices(shape);
    const size_t rows = QMoEGroupedRows(shape), slots = indices.size();
    Chain chain(TestDevice());
    chain.Put("indices", Operand::Input(DType::kI32, indices));
    chain.Make("rows", slots * 4);
    chain.Make("tokens", rows * 4);
    chain.Make("tiles", rows / 64 * 4);
    chain.Run(PlanQMoEGroup(TestDevice().caps(), shape), {"indices", "rows", "tokens", "tiles"});
    const std::vector<double> row_of = chain.Get("rows", DType::kU32, slots);
    const std::vector<double> token_of = chain.Get("tokens", DType::kU32, rows);
    const std::vector<double> expert_of = chain.Get("tiles", DType::kU32, rows / 64);
    std::vector<bool> taken(rows);
    for (size_t slot = 0; slot < slots; ++slot) {
      const auto row = static_cast<size_t>(row_of[slot]);
      ASSERT_LT(row, rows);
      EXPECT_FALSE(taken[row]);
      taken[row] = true;
      EXPECT_EQ(token_of[row], slot / shape.top_k);
      EXPECT_EQ(expert_of[row / 64], indices[slot]);
    }
    for (size_t row = 0; row < rows; ++row) {
      if (!taken[row] && expert_of[row / 64] != 0xffffffff) {
        EXPECT_EQ(token_of[row], 0xffffffff) << row;
      }
    }
    const auto used = std::count_if(expert_of.begin(), expert_of.end(),
                                    [](double expert) { return expert != 0xffffffff; });
    EXPECT_LE(used, static_cast<std::ptrdiff_t>(slots / 64 + 9));
  }
}

void ExpectOperator(const Caps& caps, const QMoEShape& shape, std::string_view product) {
  SCOPED_TRACE(fmt::format("{} {}", Name(shape), product));
  ASSERT_TRUE(CanGroupQMoE(caps, shape));
  const DType device = DeviceDType(caps, shape.dtype);
  const Weight fc1 = MakeFc1(shape), fc2 = MakeFc2(shape);
  const std::vector<double> x = RandomValues(shape.dtype, size_t{shape.tokens} * shape.hidden, 1);
  const std::vector<double> indices = UnevenIndices(shape);
  const std::vector<double> weights(indices.size(), 1.0 / shape.top_k);
  const size_t rows = QMoEGroupedRows(shape), elem_bytes = device == DType::kF16 ? 2 : 4;
  Chain chain(TestDevice());
  const auto put_weight = [&](const std::string& name, const Weight& weight) {
    chain.Put(name, Operand::Packed(weight.codes));
    chain.Put(name + ".s", Operand::Input(device, weight.scales));
    if (!weight.zero_points.empty()) chain.Put(name + ".z", Operand::Packed(weight.zero_points));
    if (!weight.bias.empty()) chain.Put(name + ".c", Operand::Input(device, weight.bias));
  };
  put_weight("fc1", fc1);
  put_weight("fc2", fc2);
  chain.Put("x", Operand::Input(device, x));
  chain.Put("indices", Operand::Input(DType::kI32, indices));
  chain.Put("weights", Operand::Input(DType::kF32, weights));
  chain.Make("rows", indices.size() * 4);
  chain.Make("tokens", rows * 4);
  chain.Make("tiles", rows / 64 * 4);
  chain.Make("grouped", rows * shape.hidden * elem_bytes);
  chain.Make("product", rows * shape.fc1_rows() * elem_bytes);
  chain.Make("h", rows * shape.intermediate * elem_bytes);
  chain.Make("d", rows * shape.hidden * elem_bytes);
  chain.Make("y", x.size() * elem_bytes);
  chain.Run(PlanQMoEGroup(caps, shape), {"indices", "rows", "tokens", "tiles"});
  chain.Run(PlanQMoEGather(caps, shape), {"x", "tiles", "tokens", "grouped"});
  chain.Run(PlanMatMulNBits(caps, QMoEGroupedGateUp(shape), product),
            {"grouped", "fc1", "fc1.s", "fc1.z", "fc1.c", "product", "", "tiles"});
  chain.Run(PlanQMoEActivate(caps, shape), {"product", "tiles", "", "h"});
  chain.Run(PlanMatMulNBits(caps, QMoEGroupedDown(shape), product),
            {"h", "fc2", "fc2.s", "fc2.z", "fc2.c", "d", "", "tiles"});
  chain.Run(PlanQMoEGroupedMix(caps, shape), {"d", "rows", "weights", "y"});
  const std::vector<double> y = chain.Get("y", device, x.size());
  const std::vector<double> h = QMoEGateUpReference(shape, x, fc1.view(), indices);
  const std::vector<double> want =
      QMoEMixReference(shape, QMoEDownReference(shape, h, fc2.view(), indices), weights);
  // Each product is off by some epsilons of each of its terms with random signs (of f16: weights
  // and results round to it) and by one of its result. The activation enlarges the error of the
  // first product, which passes through fc2.
  const double epsilon = Epsilon(device);
  const double first =
      (SumTolerance(shape.hidden) + 8 * epsilon * std::sqrt(shape.hidden)) * Amplification(shape);
  const double size = std::min<double>(8 * shape.limit, 4 * std::sqrt(shape.hidden));
  const double tolerance =
      first * std::sqrt(shape.intermediate) +
      size * (SumTolerance(shape.intermediate) + 8 * epsilon * std::sqrt(shape.intermediate));
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], want[i], tolerance) << i;
}

// Returns the operands of a product of grouped rows. Expected values are known for every
// `stride`-th row only: all of them would take the CPU minutes for a model's shapes.
std::vector<Operand> ProductOperands(const Caps& caps, const MatMulNBitsShape& shape,
                                     uint32_t stride) {
  const DType device = DeviceDType(caps, shape.dtype);
  const std::vector<double> a = RandomValues(shape.dtype, size_t{shape.m} * shape.k, 1);
  const uint64_t rows = uint64_t{shape.experts} * shape.n;
  const std::vector<std::byte> b = RandomBytes(rows * shape.b_row_bytes(), 2);
  const std::vector<double> scales =
      RandomValues(shape.dtype, rows * shape.blocks(), 3, 0.25 / (1u << shape.bits));
  std::vector<double> bias;
  if (shape.bias) bias = RandomValues(shape.dtype, rows, 4);
  std::vector<double> tile_experts;
  for (uint32_t tile = 0; tile < shape.m / 64; ++tile) tile_experts.push_back(tile % shape.experts);
  std::vector<double> y(size_t{shape.m} * shape.n, std::numeric_limits<double>::quiet_NaN());
  MatMulNBitsShape row = shape;
  row.m = 1;
  row.experts = 0;
  const std::span<const std::byte> codes = b;
  for (uint32_t m = 0; m < shape.m; m += stride) {
    const size_t first = static_cast<size_t>(tile_experts[m / 64]) * shape.n;
    const auto of_expert = [&](const std::vector<double>& values, size_t width) {
      return std::span<const double>(values).subspan(first * width, shape.n * width);
    };
    const std::vector<double> want = MatMulNBitsReference(
        row, std::span<const double>(a).subspan(size_t{m} * shape.k, shape.k),
        codes.subspan(first * shape.b_row_bytes(), shape.n * shape.b_row_bytes()),
        of_expert(scales, shape.blocks()), {}, {},
        bias.empty() ? std::span<const double>() : of_expert(bias, 1));
    std::copy(want.begin(), want.end(), y.begin() + size_t{m} * shape.n);
  }
  return {
      Operand::Input(device, a),
      Operand::Packed(b),
      Operand::Input(device, scales),
      Operand::Absent(),
      bias.empty() ? Operand::Absent() : Operand::Input(device, bias),
      Operand::Output(device, y, SumTolerance(shape.k) + 8 * Epsilon(device) * std::sqrt(shape.k),
                      4 * Epsilon(device)),
      Operand::Absent(),
      Operand::Input(DType::kU32, tile_experts)};
}

const bool kRegistered = RegisterKernelCases("qmoe_grouped", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const MatMulNBitsShape& shape, std::vector<std::string> variants,
                       uint32_t stride) -> KernelCase& {
    cases.push_back(
        {.name = fmt::format("m{}.n{}.k{}.of{}.b{}.{}{}", shape.m, shape.n, shape.k, shape.experts,
                             shape.bits, DTypeName(shape.dtype), shape.bias ? ".bias" : ""),
         .operands = [=] { return ProductOperands(caps, shape, stride); },
         .variants = std::move(variants),
         .plan =
             [=](const Caps& actual, std::string_view variant) {
               return PlanMatMulNBits(actual, shape, variant);
             }});
    return cases.back();
  };
  std::vector<std::string> variants = {"tile"};
  if (!caps.subgroup_matrix.empty()) variants.emplace_back("matrix");
  for (const uint32_t bits : {2u, 4u, 8u}) {
    add({.m = 192,
         .n = 70,
         .k = 96,
         .bits = bits,
         .dtype = DType::kF16,
         .bias = bits == 4,
         .experts = 2},
        variants, 1);
    if (bits != 2 && caps.packed_dot_product) cases.back().variants.emplace_back("dot");
  }
  // gpt-oss-20b with 512 tokens: 64 rows for each of its 32 experts. A software GPU would take
  // minutes.
  for (const uint32_t n : {5760u, 2880u}) {
    if (caps.software) continue;
    const MatMulNBitsShape shape = {
        .m = 2048, .n = n, .k = 2880, .dtype = DType::kF16, .bias = true, .experts = 32};
    KernelCase& model = add(shape, variants, 1000);
    model.bytes = 32.0 * n * (2880 / 2.0 + 2880 / 32.0 * 2) + 2.0 * shape.m * (n + 2880.0);
    model.flops = 2.0 * shape.m * n * 2880;
  }
  return cases;
});

TEST(QMoEGrouped, MakesTheOperator) {
  const Caps& caps = TestDevice().caps();
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    QMoEShape shape = GptOss({.tokens = 70,
                              .experts = 7,
                              .top_k = 3,
                              .hidden = 96,
                              .intermediate = 160,
                              .block_size = 32,
                              .dtype = dtype});
    std::vector<std::string> products = {"tile"};
    if (dtype == DType::kF16 && !caps.subgroup_matrix.empty()) products.emplace_back("matrix");
    for (const std::string& product : products) {
      ExpectOperator(caps, shape, product);
      QMoEShape other = shape;
      other.bits = 8;
      other.fc1_zero_points = other.fc2_zero_points = true;
      other.fc1_bias = false;
      other.fusion = SwiGluFusion::kHalves;
      ExpectOperator(caps, other, product);
    }
  }
  for (const QMoEActivation activation : {QMoEActivation::kRelu, QMoEActivation::kGelu,
                                          QMoEActivation::kSilu, QMoEActivation::kIdentity}) {
    ExpectOperator(caps,
                   {.tokens = 20,
                    .experts = 6,
                    .top_k = 2,
                    .hidden = 64,
                    .intermediate = 32,
                    .block_size = 32,
                    .activation = activation,
                    .fc1_zero_points = true},
                   "");
  }
  ExpectOperator(WithoutF16(WithoutSubgroups(caps)),
                 GptOss({.tokens = 20,
                         .experts = 6,
                         .top_k = 2,
                         .hidden = 64,
                         .intermediate = 32,
                         .block_size = 16,
                         .dtype = DType::kF16}),
                 "");
}

TEST(QMoEGrouped, RefusesWhatItDoesNotHave) {
  Caps caps;
  const QMoEShape shape = {
      .tokens = 64, .experts = 4, .top_k = 2, .hidden = 64, .intermediate = 64, .block_size = 32};
  EXPECT_TRUE(CanGroupQMoE(caps, shape));
  QMoEShape other = shape;
  other.block_size = 0;
  EXPECT_FALSE(CanGroupQMoE(caps, other)) << "no blocks";
  other = shape;
  other.hidden = 80;
  EXPECT_FALSE(CanGroupQMoE(caps, other)) << "part of a block";
  other = shape;
  other.experts = 2000;
  EXPECT_FALSE(CanGroupQMoE(caps, other)) << "experts";
  EXPECT_THROW(PlanQMoEGroup(caps, shape, "wide"), Error);
  EXPECT_THROW(PlanQMoEGather(caps, shape, "wide"), Error);
  EXPECT_THROW(PlanQMoEActivate(caps, shape, "wide"), Error);
  EXPECT_THROW(PlanQMoEGroupedMix(caps, shape, "wide"), Error);
  EXPECT_THROW(PlanMatMulNBits(caps, QMoEGroupedDown(shape), "decode"), Error);
  caps.limits.max_storage_binding_bytes = 8192;
  EXPECT_FALSE(CanGroupQMoE(caps, shape)) << "bindings";
}

}  // namespace
}  // namespace sinter::kernels
