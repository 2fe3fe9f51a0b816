#include "kernels/matmul/matmul.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/matrix_tile.h"
#include "kernels/common/plan_util.h"
#include "kernels/common/row_split.h"

namespace sinter::kernels {
namespace {

// Upper bound on the rows of A for which a thread reads a column of B once for all of them.
constexpr uint32_t kVecMaxRows = 8;
constexpr uint32_t kVecColumns = 32;
constexpr uint32_t kTile = 64;

// Tiles, the largest first: m, n, step, rows, cols, split, buffers.
constexpr MatrixTile kMatrixTiles[] = {
    {128, 128, 32, 4, 4, 1, 2}, {128, 128, 32, 4, 4, 1, 1}, {128, 64, 32, 4, 2, 1, 2},
    {64, 64, 32, 2, 2, 1, 2},   {32, 64, 64, 2, 2, 1, 1},   {16, 64, 64, 1, 1, 1, 2},
};
// Upper bound on the vectors of a step that a thread holds in registers.
constexpr uint32_t kMaxFetches = 8;

std::optional<MatrixTileLayout> LayOutMatrix(const Caps& caps, DType dtype,
                                             const MatrixTile& tile) {
  const auto layout = LayOutMatrixTile(caps, tile, /*turned=*/false);
  if (!layout || dtype != DType::kF16) return {};
  if (CeilDiv(tile.m * tile.step / 8, layout->threads) > kMaxFetches ||
      CeilDiv(tile.n * tile.step / 8, layout->threads) > kMaxFetches) {
    return {};
  }
  return layout;
}

// Returns the tile that `variant` names. For `matrix`, returns the largest tile that uses most of
// its rows and of which there are enough to keep a GPU busy, or the smallest one. Returns nothing
// if the adapter has none.
std::optional<MatrixTile> FindMatrixTile(const Caps& caps, const MatMulShape& shape,
                                         std::string_view variant) {
  constexpr uint32_t kEnough = 128;
  std::optional<MatrixTile> found;
  for (const MatrixTile& tile : kMatrixTiles) {
    if (!LayOutMatrix(caps, shape.dtype, tile)) continue;
    if (variant == "matrix." + MatrixTileName(tile)) return tile;
    if (variant != "matrix") continue;
    found = tile;
    const uint32_t count = CeilDiv(shape.rows(), tile.m) * CeilDiv(shape.n, tile.n);
    if (shape.rows() > tile.m / 2 && count >= kEnough) break;
  }
  return found;
}

// Returns dimension `i` of `count`, with dimensions aligned at the end.
uint32_t DimensionAt(const std::vector<uint32_t>& dims, size_t i, size_t count) {
  return i + dims.size() < count ? 1 : dims[i + dims.size() - count];
}

struct BatchDim {
  uint32_t size = 1, a_stride = 0, b_stride = 0;
};

// Returns the batch dimensions of Y, slowest first, without those of size 1. Neighbours are merged
// if A and B advance through both alike.
std::vector<BatchDim> FoldBatch(const MatMulShape& shape) {
  const std::vector<uint32_t> batch = MatMulBatch(shape);
  std::vector<BatchDim> folded;
  uint32_t a_stride = 1, b_stride = 1;
  for (size_t i = batch.size(); i > 0; --i) {
    const uint32_t a = DimensionAt(shape.a_batch, i - 1, batch.size());
    const uint32_t b = DimensionAt(shape.b_batch, i - 1, batch.size());
    const BatchDim dim = {batch[i - 1], a == 1 ? 0 : a_stride, b == 1 ? 0 : b_stride};
    a_stride *= a;
    b_stride *= b;
    if (dim.size == 1) continue;
    if (!folded.empty()) {
      BatchDim& inner = folded.back();
      if (dim.a_stride == inner.a_stride * inner.size &&
          dim.b_stride == inner.b_stride * inner.size) {
        inner.size *= dim.size;
        continue;
      }
    }
    folded.push_back(dim);
  }
  std::reverse(folded.begin(), folded.end());
  return folded;
}

}  // namespace

std::vector<uint32_t> MatMulBatch(const MatMulShape& shape) {
  std::vector<uint32_t> batch(std::max(shape.a_batch.size(), shape.b_batch.size()));
  for (size_t i = 0; i < batch.size(); ++i) {
    const uint32_t a = DimensionAt(shape.a_batch, i, batch.size());
    const uint32_t b = DimensionAt(shape.b_batch, i, batch.size());
    if (a != b && a != 1 && b != 1) {
      throw Error("kernels",
                  "batch dimensions of MatMul: got [{}] and [{}], want them to broadcast",
                  fmt::join(shape.a_batch, ", "), fmt::join(shape.b_batch, ", "));
    }
    batch[i] = a == 1 ? b : a;
  }
  return batch;
}

std::vector<std::string> MatMulVariants(const Caps& caps, DType dtype) {
  std::vector<std::string> variants = {"vec", "tile"};
  for (const MatrixTile& tile : kMatrixTiles) {
    if (LayOutMatrix(caps, dtype, tile)) variants.push_back("matrix." + MatrixTileName(tile));
  }
  return variants;
}

std::vector<MatMulShape> SplitMatMul(const Caps& caps, const MatMulShape& shape) {
  SINTER_CHECK(shape.a_batch.empty() && shape.b_batch.empty());
  // Groups of 8 rows keep A's vectors whole.
  const uint32_t group = shape.k % 8 == 0 ? 8 : 1;
  const uint64_t group_bytes =
      group * DTypeBytes(DeviceDType(caps, shape.dtype), uint64_t{shape.n});
  const std::vector<RowRange> ranges = SplitRows(caps, shape.k / group, {&group_bytes, 1});
  if (ranges.size() == 1) return {shape};
  const uint64_t sums = caps.limits.max_storage_binding_bytes / sizeof(float) / shape.n;
  const auto most = static_cast<uint32_t>(std::clamp<uint64_t>(sums, 1, shape.m));
  std::vector<MatMulShape> parts;
  for (uint32_t begin = 0; begin < shape.m; begin += most) {
    for (const RowRange& range : ranges) {
      MatMulShape& part = parts.emplace_back(shape);
      part.m_begin = begin;
      part.m_count = std::min(most, shape.m - begin);
      part.k_begin = static_cast<uint32_t>(range.begin) * group;
      part.k_count = static_cast<uint32_t>(range.count) * group;
    }
  }
  return parts;
}

KernelPlan PlanMatMul(const Caps& caps, const MatMulShape& shape, std::string_view variant) {
  SINTER_CHECK(shape.m > 0 && shape.n > 0 && shape.k > 0);
  SINTER_CHECK((shape.m_count == 0 && shape.k_count == 0) ||
               (shape.a_batch.empty() && shape.b_batch.empty()));
  SINTER_CHECK(shape.m_begin + shape.rows() <= shape.m && shape.k_begin + shape.depth() <= shape.k);
  if (variant.empty()) {
    // Emulated matrix units are slower than plain tiles.
    const bool matrix = !caps.software && FindMatrixTile(caps, shape, "matrix").has_value();
    variant = shape.rows() <= kVecMaxRows ? "vec" : matrix ? "matrix" : "tile";
  }
  const std::optional<MatrixTile> tile = FindMatrixTile(caps, shape, variant);
  if (variant != "vec" && variant != "tile" && !tile)
    ThrowUnknownVariant("matmul", variant, MatMulVariants(caps, shape.dtype));
  const bool vec = variant == "vec";
  const std::string_view act = WgslType(caps, shape.dtype);

  KernelPlan plan;
  plan.prelude = fmt::format("alias act_t = {};\n", act);
  if (act == "f16") plan.defines.emplace_back("f16");
  uint32_t rows = kTile, columns = kTile;
  if (tile) {
    const MatrixTileLayout layout = *LayOutMatrix(caps, shape.dtype, *tile);
    const bool a_vec8 = shape.k % 8 == 0 && shape.k_begin % 8 == 0 && shape.depth() % 8 == 0;
    const bool b_vec8 = shape.n % 8 == 0;
    plan.wgsl = "matmul/matmul_matrix.wgsl";
    plan.prelude +=
        fmt::format("alias a_t = {};\nalias b_t = {};\n{}", a_vec8 ? "vec4<u32>" : act,
                    b_vec8 ? "vec4<u32>" : act, MatrixTilePrelude(*tile, layout, /*turned=*/false));
    plan.defines.insert(plan.defines.end(), {"subgroups", "subgroup_matrix"});
    if (a_vec8) plan.defines.emplace_back("a_vec8");
    if (b_vec8) plan.defines.emplace_back("b_vec8");
    plan.variant = fmt::format("matmul.{}{}{}.{}", act, a_vec8 ? "" : ".odd_k",
                               b_vec8 ? "" : ".odd_n", MatrixTileVariant(*tile, layout));
    rows = tile->m;
    columns = tile->n;
  } else {
    plan.wgsl = vec ? "matmul/matmul_vec.wgsl" : "matmul/matmul_tile.wgsl";
    plan.prelude += "alias a_t = act_t;\nalias b_t = act_t;\n";
    plan.variant = fmt::format("matmul.{}.{}", act, variant);
  }
  if (vec) {
    rows = std::bit_ceil(std::min(shape.rows(), kVecMaxRows));
    columns = kVecColumns;
    plan.prelude += fmt::format("const kM = {}u;\n", rows);
    plan.variant += fmt::format(".m{}", rows);
  }
  if (shape.partial()) {
    plan.defines.emplace_back("part");
    if (!shape.finishes()) plan.defines.emplace_back("unfinished");
    plan.variant += shape.finishes() ? ".last_part" : ".part";
  }

  MatMulParams params = {};
  params.m = shape.rows();
  params.n = shape.n;
  params.k = shape.depth();
  params.a_row = shape.k;
  params.a_first = shape.m_begin * shape.k + shape.k_begin;
  params.y_first = shape.m_begin * shape.n;
  params.accumulate = shape.k_begin > 0 ? 1 : 0;
  const std::vector<BatchDim> batch = FoldBatch(shape);
  if (batch.size() > params.batch.size()) {
    throw Error("kernels", "batch dimensions of MatMul: got [{}] and [{}], want at most {} strides",
                fmt::join(shape.a_batch, ", "), fmt::join(shape.b_batch, ", "),
                params.batch.size());
  }
  params.batch.fill(1);
  uint64_t matrices = 1;
  for (size_t i = 0; i < batch.size(); ++i) {
    const size_t at = params.batch.size() - batch.size() + i;
    params.batch[at] = batch[i].size;
    params.a_stride[at] = batch[i].a_stride;
    params.b_stride[at] = batch[i].b_stride;
    matrices *= batch[i].size;
  }
  const uint64_t tiles =
      uint64_t{(params.m + rows - 1) / rows} * ((shape.n + columns - 1) / columns) * matrices;
  plan.workgroups = FoldGrid(caps, tiles);
  params.grid_x = plan.workgroups[0];
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
