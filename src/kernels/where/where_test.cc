#include "kernels/where/where.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/error.h"
#include "kernels/common/indexing_testing.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using Dims = std::vector<int64_t>;

std::vector<double> Conditions(size_t elems, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<double> values(elems);
  // Any number other than 0 counts as true.
  for (double& value : values) value = engine() % 2 == 0 ? 0 : 1 + engine() % 3;
  return values;
}

void AddCase(const Caps& caps, const WhereShape& shape, bool widened,
             std::vector<KernelCase>& cases) {
  const DType device = DeviceDType(widened ? WithoutF16(caps) : caps, shape.dtype);
  KernelCase c;
  c.name = fmt::format("{}_{}_{}.{}{}", fmt::join(shape.condition, "x"), fmt::join(shape.a, "x"),
                       fmt::join(shape.b, "x"), DTypeName(shape.dtype), widened ? ".widened" : "");
  c.variants = WhereVariants(shape);
  c.operands = [=] {
    const std::vector<double> condition = Conditions(NumElems(shape.condition), 1);
    std::vector<double> a = RandomValues(shape.dtype, NumElems(shape.a), 2, 100);
    std::vector<double> b = RandomValues(shape.dtype, NumElems(shape.b), 3, 100);
    for (std::vector<double>* values : {&a, &b}) {
      for (double& value : *values) {
        if (shape.dtype == DType::kBool) value = value > 0;
        if (!IsFloat(shape.dtype)) value = static_cast<int>(value);
      }
    }
    // Attention masks contain -inf.
    if (IsFloat(shape.dtype)) b[0] = -INFINITY;
    return std::vector<Operand>{
        Operand::Input(DType::kBool, condition), Operand::Input(device, a),
        Operand::Input(device, b),
        // Elements are only copied.
        Operand::Output(device, WhereReference(condition, shape.condition, a, shape.a, b, shape.b),
                        0)};
  };
  c.plan = [=](const Caps& on, std::string_view variant) {
    return PlanWhere(widened ? WithoutF16(on) : on, shape, variant);
  };
  const double elems = static_cast<double>(NumElems(WhereOutputShape(shape)));
  const double item = device == DType::kF16 ? 2 : 4;
  c.bytes = elems > 100000 ? item * (elems + NumElems(shape.a) + NumElems(shape.b)) +
                                 4.0 * NumElems(shape.condition)
                           : 0;
  cases.push_back(std::move(c));
}

const bool kRegistered = RegisterKernelCases("where", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const Dims odd = {5, 7, 11, 13};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32, DType::kI64, DType::kBool}) {
    AddCase(caps, {dtype, odd, odd, odd}, false, cases);
    AddCase(caps, {dtype, {3}, {}, {3}}, false, cases);
    AddCase(caps, {dtype, {}, {}, {}}, false, cases);
    AddCase(caps, {dtype, {17, 64}, {}, {1}}, false, cases);
    AddCase(caps, {dtype, {17, 1}, {64}, {17, 64}}, false, cases);
    AddCase(caps, {dtype, {3, 1, 5, 1}, {2, 1, 7}, {1}}, false, cases);
  }
  AddCase(caps, {DType::kF16, odd, odd, {}}, true, cases);
  AddCase(caps, {DType::kF32, odd, odd, {}}, false, cases);
  cases.back() = WithFoldedGrid(cases.back(), 6);
  // A causal mask over 512 tokens and 16 heads.
  AddCase(caps, {DType::kF16, {512, 512}, {16, 512, 512}, {}}, false, cases);
  return cases;
});

TEST(Where, BroadcastsAnyShapes) {
  std::mt19937 engine(5);
  gpu::Device& device = TestDevice();
  const int64_t sizes[] = {1, 2, 3, 4, 8};
  for (int round = 0; round < 60; ++round) {
    WhereShape shape{engine() % 2 == 0 ? DType::kF32 : DType::kF16, {}, {}, {}};
    Dims* const operands[] = {&shape.condition, &shape.a, &shape.b};
    int64_t elems = 1;
    for (size_t rank = engine() % 9; rank > 0; --rank) {
      const int64_t size = elems > 20000 ? 1 : sizes[engine() % 5];
      elems *= size;
      for (Dims* operand : operands) operand->push_back(engine() % 3 == 0 ? 1 : size);
    }
    Dims& shorter = *operands[engine() % 3];
    shorter.erase(shorter.begin(), shorter.begin() + engine() % (shorter.size() + 1));
    const DType dtype = DeviceDType(device.caps(), shape.dtype);
    const std::vector<double> condition = Conditions(NumElems(shape.condition), round);
    const std::vector<double> a = RandomValues(shape.dtype, NumElems(shape.a), round + 1);
    const std::vector<double> b = RandomValues(shape.dtype, NumElems(shape.b), round + 2);
    const std::vector<double> expected =
        WhereReference(condition, shape.condition, a, shape.a, b, shape.b);
    const std::vector<Operand> inputs = {Operand::Input(DType::kBool, condition),
                                         Operand::Input(dtype, a), Operand::Input(dtype, b),
                                         Operand::Output(dtype, expected, 0)};
    for (const std::string& variant : WhereVariants(shape)) {
      const auto result = RunPlan(device, PlanWhere(device.caps(), shape, variant), inputs);
      EXPECT_EQ(CompareOperand(inputs[3], result[3]), "")
          << fmt::format("[{}] ? [{}] : [{}], {}", fmt::join(shape.condition, ", "),
                         fmt::join(shape.a, ", "), fmt::join(shape.b, ", "), variant);
    }
  }
}

TEST(Where, FoldsGridsAndEmptyTensors) {
  const KernelPlan plan = PlanWhere({}, {DType::kF32, {65535 * 256 + 1}, {}, {1}}, "strided");
  EXPECT_EQ(plan.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  WhereParams params;
  std::memcpy(&params, plan.params.data(), sizeof params);
  EXPECT_EQ(params.grid_x, 32768u);
  std::memcpy(&params, PlanWhere({}, {DType::kF32, {0}, {}, {1}}).params.data(), sizeof params);
  EXPECT_EQ(params.threads, 0u);
}

TEST(Where, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanWhere({}, {DType::kF32, {2}, {3}, {1}}), Error);
  EXPECT_THROW(PlanWhere({}, {DType::kF32, {2, 3}, {3}, {1}}, "vec4"), Error);
  EXPECT_THROW(PlanWhere({}, {DType::kF64, {2}, {2}, {2}}), Error);
}

}  // namespace
}  // namespace sinter::kernels
