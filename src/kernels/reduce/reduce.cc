#include "kernels/reduce/reduce.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace sinter::kernels {
namespace {

struct ReduceInfo {
  ReduceOp op;
  std::string_view name, onnx_name;
  const char *prepare, *combine, *finish, *identity;
  // Whether a reduction of no elements gives the identity.
  bool takes_none;
};

// Rows in the order of the enum. Max and min start from an element, because WGSL has no constant
// for infinity.
constexpr ReduceInfo kInfo[] = {
    {ReduceOp::kL2, "l2", "ReduceL2", "x * x", "a + b", "sqrt(x)", "0", true},
    {ReduceOp::kMax, "max", "ReduceMax", "x", "max(a, b)", "x", "0", false},
    {ReduceOp::kMean, "mean", "ReduceMean", "x", "a + b", "x / compute_t(params.reduced)", "0",
     false},
    {ReduceOp::kMin, "min", "ReduceMin", "x", "min(a, b)", "x", "0", false},
    {ReduceOp::kProd, "prod", "ReduceProd", "x", "a * b", "x", "1", true},
    {ReduceOp::kSum, "sum", "ReduceSum", "x", "a + b", "x", "0", true},
    {ReduceOp::kSumSquare, "sum_square", "ReduceSumSquare", "x * x", "a + b", "x", "0", true},
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
    throw Error("kernels", "reduce {}: got elements of {}, want a type that it takes",
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
  if (count == 0 && outputs > 0 && !info.takes_none) {
    throw Error("kernels", "reduce {}: got shape [{}], want elements to reduce", info.name,
                fmt::join(shape.shape, ", "));
  }
  if (variant.empty()) variant = count >= kTreeFrom ? "tree" : "serial";
  const std::vector<std::string> known = ReduceVariants();
  if (std::find(known.begin(), known.end(), variant) == known.end())
    ThrowUnknownVariant("reduce", variant, known);
  const bool tree = variant == "tree";
  const std::string_view type = WgslType(caps, shape.dtype);
  const bool from_first = shape.op == ReduceOp::kMax || shape.op == ReduceOp::kMin;
  KernelPlan plan;
  plan.variant = fmt::format("reduce.{}.{}.{}", info.name, type, variant);
  plan.wgsl = "reduce/reduce.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias compute_t = {};\nconst kFromFirst = {};\nconst kIdentity = "
      "compute_t({});\n"
      "fn prepare(x: compute_t) -> compute_t {{ return {}; }}\n"
      "fn combine(a: compute_t, b: compute_t) -> compute_t {{ return {}; }}\n"
      "fn finish(x: compute_t) -> compute_t {{ return {}; }}\n",
      type, type == "f16" ? "f32" : type, from_first, info.identity, info.prepare, info.combine,
      info.finish);
  if (tree) plan.defines.push_back("tree");
  if (type == "f16") plan.defines.push_back("f16");
  plan.workgroups =
      FoldGrid(caps, tree ? outputs : (outputs + kElementwiseThreads - 1) / kElementwiseThreads);
  plan.SetParams(ReduceParams{.outputs = static_cast<uint32_t>(outputs),
                              .reduced = static_cast<uint32_t>(count),
                              .grid_x = plan.workgroups[0],
                              .kept_rank = static_cast<uint32_t>(kept.sizes.size()),
                              .reduced_rank = static_cast<uint32_t>(reduced.sizes.size()),
                              .kept_sizes = ToDeviceDims(kept.sizes, 1),
                              .kept_strides = ToDeviceDims(kept.strides[0], 0),
                              .reduced_sizes = ToDeviceDims(reduced.sizes, 1),
                              .reduced_strides = ToDeviceDims(reduced.strides[0], 0)});
  return plan;
}

}  // namespace sinter::kernels
