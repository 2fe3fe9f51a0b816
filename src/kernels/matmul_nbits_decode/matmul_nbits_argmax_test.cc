// The greedy choice of a token in the dispatch of the product that makes the logits.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/argmax/argmax.h"
#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/matmul_nbits_decode/matmul_nbits_decode.h"
#include "kernels/sample/token_choice_testing.h"

namespace sinter::kernels {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr StepState kState{
    .past_length = 5, .total_length = 8, .last_row = 2, .position = 10, .seed = 1};

// What a case does to the row's logits, by the bias: they are up to some 10 without.
enum class Row { kLargest, kTies, kRoundedTies, kNan, kAllNan, kInfinities };

struct Options {
  Row row = Row::kLargest;
  bool without_f16 = false, without_subgroups = false;
};

Caps CapsFor(Caps caps, const Options& options) {
  if (options.without_f16) caps = WithoutF16(caps);
  if (options.without_subgroups) caps = WithoutSubgroups(caps);
  return caps;
}

MatMulNBitsShape Shape(uint32_t n, uint32_t k, DType dtype) {
  MatMulNBitsShape shape = {.n = n, .k = k, .dtype = dtype, .bias = true};
  shape.norm = {.present = true, .input_dtype = dtype, .scale_dtype = dtype};
  shape.argmax = {.present = true, .position_ids = true, .total_length = true, .ring_size = 4};
  return shape;
}

// Every logit but those that the case speaks of is far below.
std::vector<double> Bias(const MatMulNBitsShape& shape, Row row) {
  std::vector<double> bias(shape.n, -200);
  const auto at = [&](uint32_t n) -> double& { return bias[std::min(n, shape.n - 1)]; };
  switch (row) {
    case Row::kLargest:
      at(2 * shape.n / 3) = 100;
      break;
    case Row::kTies:
    case Row::kRoundedTies:
      for (const uint32_t n : {shape.n / 3, shape.n / 2, shape.n - 1}) at(n) = 100;
      break;
    case Row::kNan:
      for (uint32_t n = 0; n < shape.n; n += 2) at(n) = kNan;
      at(1) = 100;
      break;
    case Row::kAllNan:
      std::ranges::fill(bias, kNan);
      break;
    case Row::kInfinities:
      std::ranges::fill(bias, -kInf);
      at(shape.n / 2) = kInf;
      break;
  }
  return bias;
}

std::vector<Operand> MakeOperands(const Caps& caps, const MatMulNBitsShape& shape, Row row) {
  const DType act = DeviceDType(caps, shape.dtype);
  std::vector<double> scales(size_t{shape.n} * shape.blocks(), 0.02);
  std::vector<std::byte> b = RandomBytes(shape.n * shape.b_row_bytes(), 2);
  const std::vector<double> bias = Bias(shape, row);
  if (row == Row::kTies || row == Row::kRoundedTies) {
    // The same row of B three times, so that its logits are equal to the last bit.
    for (const uint32_t n : {shape.n / 3, shape.n - 1}) {
      std::copy_n(b.begin() + static_cast<std::ptrdiff_t>(shape.n / 2 * shape.b_row_bytes()),
                  shape.b_row_bytes(),
                  b.begin() + static_cast<std::ptrdiff_t>(n * shape.b_row_bytes()));
    }
  }
  if (row == Row::kRoundedTies) {
    // The last is larger by 64 (h is 1, codes less their zero point are 1) * 2^-12 = 1/64, and f16
    // tells apart 1/16 at 100.
    for (const uint32_t n : {shape.n / 3, shape.n / 2, shape.n - 1}) {
      std::fill_n(scales.begin() + n * shape.blocks(), shape.blocks(),
                  n == shape.n - 1 ? 0x1p-12 : 0.0);
      std::fill_n(b.begin() + static_cast<std::ptrdiff_t>(n * shape.b_row_bytes()),
                  shape.b_row_bytes(), std::byte{0x99});
    }
  }
  const std::vector<double> h(shape.k, 1.0);
  const uint32_t token = ArgmaxReference(bias, std::vector<uint32_t>((shape.n + 31) / 32), 1.0);
  SamplingOptions sampling{.repetition_penalty = 1, .eos_count = 2};
  sampling.eos_tokens[1] = shape.n / 3;
  const TokenChoiceShape choice = {.vocab = shape.n,
                                   .ring_size = shape.argmax.ring_size,
                                   .position_ids = shape.argmax.position_ids,
                                   .total_length = shape.argmax.total_length};
  std::vector<Operand> chosen = TokenChoiceOperands(
      choice, DType::kF32, {}, kState, sampling, std::vector<uint32_t>((shape.n + 31) / 32), token);
  std::vector<Operand> operands = {Operand::Input(act, h),
                                   Operand::Packed(nbits_testing::CodesInOrder(shape, b)),
                                   Operand::Input(act, nbits_testing::InOrder(shape, scales)),
                                   Operand::Absent(),
                                   Operand::Input(act, bias),
                                   Operand::Absent(),
                                   Operand::Absent(),
                                   shape.norm.present
                                       ? Operand::Input(act, std::vector<double>(shape.k, 1.0))
                                       : Operand::Absent(),
                                   Operand::Absent(),
                                   Operand::Absent(),
                                   Operand::Absent()};
  operands.insert(operands.end(), chosen.begin() + 1, chosen.end());
  return operands;
}

const bool kRegistered = RegisterKernelCases("matmul_nbits_argmax", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const MatMulNBitsShape& shape, Options options = {},
                       std::vector<std::string> variants = {""}) {
    KernelCase c;
    c.name = fmt::format("n{}.k{}.b{}{}.{}.row{}{}{}", shape.n, shape.k, shape.bits,
                         shape.interleave > 1 ? ".by8" : "", DTypeName(shape.dtype),
                         static_cast<int>(options.row), options.without_f16 ? ".widened" : "",
                         options.without_subgroups ? ".no_subgroups" : "");
    c.operands = [=] { return MakeOperands(CapsFor(caps, options), shape, options.row); };
    c.variants = std::move(variants);
    c.plan = [=](const Caps& actual, std::string_view variant) {
      return PlanMatMulNBits(CapsFor(actual, options), shape, variant);
    };
    cases.push_back(std::move(c));
  };
  const DType f16 = DType::kF16, f32 = DType::kF32;
  // Every cut of the work, and more than one workgroup of each.
  const MatMulNBitsShape cut = Shape(4111, 64, f16);
  add(cut, {.row = Row::kTies}, MatMulNBitsVariants(caps, cut));
  for (const uint32_t n : {1u, 5u, 5u * 7 * 11 * 13}) add(Shape(n, 32, f16));
  for (const DType dtype : {f16, f32}) {
    for (const Row row : {Row::kLargest, Row::kTies, Row::kNan, Row::kAllNan, Row::kInfinities}) {
      add(Shape(777, 64, dtype), {.row = row});
    }
  }
  if (caps.f16) add(Shape(777, 64, f16), {.row = Row::kRoundedTies});
  for (const Row row : {Row::kTies, Row::kNan}) {
    add(Shape(777, 64, f16), {.row = row, .without_f16 = true});
    add(Shape(777, 64, f32), {.row = row, .without_subgroups = true});
  }
  MatMulNBitsShape together = Shape(4112, 64, f16);
  together.interleave = kInterleavedRows;
  add(together, {.row = Row::kTies}, MatMulNBitsVariants(caps, together));
  MatMulNBitsShape bare = Shape(777, 64, f16);
  bare.norm.present = false;
  bare.bits = 8;
  bare.argmax.position_ids = bare.argmax.total_length = false;
  add(bare);
  return cases;
});

TEST(MatMulNBitsArgmax, TakesOneRowInOneDispatch) {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_storage_buffers_per_stage = 13;
  const MatMulNBitsShape shape = Shape(1000, 256, DType::kF16);
  EXPECT_TRUE(CanFuseMatMulNBits(caps, shape));
  MatMulNBitsShape rows = shape;
  rows.m = 2;
  EXPECT_FALSE(CanFuseMatMulNBits(caps, rows));
  Caps few = caps;
  few.limits.max_storage_buffers_per_stage = 12;
  EXPECT_FALSE(CanFuseMatMulNBits(few, shape)) << "bindings";
  Caps small = caps;
  small.limits.max_storage_binding_bytes = 64 << 10;
  EXPECT_FALSE(CanFuseMatMulNBits(small, shape)) << "a weight that is split";
}

}  // namespace
}  // namespace sinter::kernels
