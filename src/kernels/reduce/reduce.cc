#include "kernels/reduce/reduce.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels {
namespace {

struct ReduceInfo {
  ReduceOp op;
  std::string_view name, onnx_name;
  const char *prepare, *combine, *finish;
  // Results of no elements.
  float of_no_floats;
  int32_t of_no_ints;
  // The combination of floats, if it differs.
  const char* combine_floats = nullptr;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int32_t kLargestInt = std::numeric_limits<int32_t>::max(),
                  kSmallestInt = std::numeric_limits<int32_t>::min();

// Rows in the order of the enum.
constexpr ReduceInfo kInfo[] = {
    {ReduceOp::kL2, "l2", "ReduceL2", "x * x", "a + b", "sqrt(x)", 0, 0},
    {ReduceOp::kMax, "max", "ReduceMax", "x", "max(a, b)", "x", -kInfinity, kSmallestInt,
     "max_f32(a, b)"},
    {ReduceOp::kMean, "mean", "ReduceMean", "x", "a + b", "x / compute_t(max(params.reduced, 1u))",
     0, 0},
    {ReduceOp::kMin, "min", "ReduceMin", "x", "min(a, b)", "x", kInfinity, kLargestInt,
     "min_f32(a, b)"},
    {ReduceOp::kProd, "prod", "ReduceProd", "x", "a * b", "x", 1, 1},
    {ReduceOp::kSum, "sum", "ReduceSum", "x", "a + b", "x", 0, 0},
    {ReduceOp::kSumSquare, "sum_square", "ReduceSumSquare", "x * x", "a + b", "x", 0, 0},
};

const ReduceInfo& Info(ReduceOp op) { return kInfo[static_cast<size_t>(op)]; }

// Length of reductions from which on a workgroup computes each: below it most of the 256 threads
// would be idle.
constexpr int64_t kTreeFrom = 128;

void CheckShape(const ReduceShape& shape) {
  const bool takes =
      shape.dtype == DType::kF32 || shape.dtype == DType::kF16 ||
      (shape.op != ReduceOp::kL2 && (shape.dtype == DType::kI32 || shape.dtype == DType::kI64));
  if (!takes) {
    throw Error("kernels", "reduce {}: got elements of {}, want a type that it supports",
                ReduceOpName(shape.op), DTypeName(shape.dtype));
  }
  std::vector<int64_t> axes = shape.axes;
  std::sort(axes.begin(), axes.end());
  const bool twice = std::adjacent_find(axes.begin(), axes.end()) != axes.end();
  if (twice || (!axes.empty() &&
                (axes.front() < 0 || axes.back() >= static_cast<int64_t>(shape.shape.size())))) {
    throw Error("kernels", "reduce {}: got axes [{}], want different ones in [0, {})",
                ReduceOpName(shape.op), fmt::join(shape.axes, ", "), shape.shape.size());
  }
}

}  // namespace

std::optional<ReduceOp> ReduceOpFromName(std::string_view onnx_name) {
  for (const ReduceInfo& info : kInfo) {
    if (info.onnx_name == onnx_name) return info.op;
  }
  return std::nullopt;
}

std::string_view ReduceOpName(ReduceOp op) { return Info(op).name; }

// Maxima and minima are elements.
bool MayLeaveRange(ReduceOp op) { return op != ReduceOp::kMax && op != ReduceOp::kMin; }

std::vector<std::string> ReduceVariants() { return {"serial", "tree"}; }

KernelPlan PlanReduce(const Caps& caps, const ReduceShape& shape, std::string_view variant) {
  CheckShape(shape);
  NumElems(shape.shape);  // throws Error if x is too large
  const std::vector<int64_t> strides = RowMajorStrides(shape.shape);
  StridedSpace kept{{}, {{}}}, reduced{{}, {{}}};
  for (size_t d = 0; d < shape.shape.size(); ++d) {
    const bool reduces = std::find(shape.axes.begin(), shape.axes.end(), static_cast<int64_t>(d)) !=
                         shape.axes.end();
    StridedSpace& space = reduces ? reduced : kept;
    space.sizes.push_back(shape.shape[d]);
    space.strides[0].push_back(strides[d]);
  }
  kept = FoldDims(kept);
  reduced = FoldDims(reduced);
  const int64_t outputs = NumElems(kept.sizes), count = NumElems(reduced.sizes);
  const ReduceInfo& info = Info(shape.op);
  const bool floats = IsFloat(shape.dtype);
  const bool extreme = shape.op == ReduceOp::kMax || shape.op == ReduceOp::kMin;
  if (count == 0 && outputs > 0 && extreme && shape.dtype == DType::kI64) {
    throw Error("kernels",
                "reduce {}: got int64 of shape [{}], want elements to reduce: the result of an "
                "empty reduction has 64 bits, which the GPU does not support",
                info.name, fmt::join(shape.shape, ", "));
  }
  const uint32_t identity = floats ? std::bit_cast<uint32_t>(info.of_no_floats)
                                   : std::bit_cast<uint32_t>(info.of_no_ints);
  if (variant.empty()) variant = count >= kTreeFrom ? "tree" : "serial";
  const std::vector<std::string> known = ReduceVariants();
  if (std::find(known.begin(), known.end(), variant) == known.end())
    ThrowUnknownVariant("reduce", variant, known);
  const bool tree = variant == "tree";
  const std::string_view type = WgslType(caps, shape.dtype);
  const char* combine =
      floats && info.combine_floats != nullptr ? info.combine_floats : info.combine;
  const char* prepare = info.prepare;
  const bool notes = shape.fault_word != 0;
  SINTER_CHECK(!notes || (shape.dtype == DType::kI64 && MayLeaveRange(shape.op)));
  if (notes) {
    combine = shape.op == ReduceOp::kProd ? "mul_noted(a, b)" : "add_noted(a, b)";
    if (shape.op == ReduceOp::kSumSquare) prepare = "mul_noted(x, x)";
  }
  KernelPlan plan;
  plan.variant = fmt::format("reduce.{}.{}.{}{}", info.name, type, variant, notes ? ".faults" : "");
  if (notes) plan.defines.push_back("faults");
  plan.wgsl = "reduce/reduce.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias compute_t = {};\n"
      "fn prepare(x: compute_t) -> compute_t {{ return {}; }}\n"
      "fn combine(a: compute_t, b: compute_t) -> compute_t {{ return {}; }}\n"
      "fn finish(x: compute_t) -> compute_t {{ return {}; }}\n",
      type, type == "f16" ? "f32" : type, prepare, combine, info.finish);
  if (tree) plan.defines.push_back("tree");
  if (type == "f16") plan.defines.push_back("f16");
  plan.workgroups =
      FoldGrid(caps, tree ? outputs : (outputs + kElementwiseThreads - 1) / kElementwiseThreads);
  plan.SetParams(ReduceParams{.outputs = static_cast<uint32_t>(outputs),
                              .reduced = static_cast<uint32_t>(count),
                              .grid_x = plan.workgroups[0],
                              .kept_rank = static_cast<uint32_t>(kept.sizes.size()),
                              .reduced_rank = static_cast<uint32_t>(reduced.sizes.size()),
                              .identity = identity,
                              .fault_word = shape.fault_word,
                              .kept_sizes = ToDeviceDims(kept.sizes, 1),
                              .kept_strides = ToDeviceDims(kept.strides[0], 0),
                              .reduced_sizes = ToDeviceDims(reduced.sizes, 1),
                              .reduced_strides = ToDeviceDims(reduced.strides[0], 0)});
  return plan;
}

}  // namespace sinter::kernels
