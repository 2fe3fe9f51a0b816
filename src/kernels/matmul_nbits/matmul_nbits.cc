#include "kernels/matmul_nbits/matmul_nbits.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"
#include "kernels/matmul_nbits_decode/matmul_nbits_decode.h"
#include "kernels/matmul_nbits_dot/matmul_nbits_dot.h"
#include "kernels/matmul_nbits_matrix/matmul_nbits_matrix.h"
#include "kernels/matmul_nbits_narrow/matmul_nbits_narrow.h"

namespace sinter::kernels {
namespace {

// 64 x 64 x 32 in f32 is exactly the 16 KiB of workgroup memory that every adapter has.
constexpr uint32_t kTileN = 64;
uint32_t TileRows(const MatMulNBitsShape& shape) {
  return shape.m <= 32 && shape.experts == 0 ? 32 : 64;
}

// Number of rows up to which the kernel for few rows is preferred to packed dot products. It reads
// B twice for them, but needs no tiles to fill the GPU.
constexpr uint32_t kDotRows = 16;

// Tiles win if there are enough of them to fill the GPU. On an H200 with K = 2048 and N = 2048, 16
// rows of A take 23 us by decode and 114 us by tile, 256 rows 180 us and 146 us.
bool PrefersTile(const Caps& caps, const MatMulNBitsShape& shape) {
  if (shape.experts > 0) return true;
  // A CPU takes long to compile the kernel for few rows in its form for 8 of them.
  if (caps.software) return shape.m > kMatMulNBitsDecodeRows;
  if (shape.m <= 16) return false;
  const uint32_t n = shape.n_count == 0 ? shape.n : shape.n_count;
  const uint32_t tile_m = TileRows(shape);
  return shape.m > 128 ||
         uint64_t{(shape.m + tile_m - 1) / tile_m} * ((n + kTileN - 1) / kTileN) >= 96;
}

// Fewest rows for which the narrow tiles on the matrix units are preferred, most rows for which
// they are preferred to large tiles in any case, and most rows that they normalize. On an H200,
// 4096 x 2048 with a norm takes 4 rows 14 us by decode and by narrow tiles, and 8 rows 21 and 14
// us; it takes more than 16 rows longer to normalize in every workgroup than in a dispatch of their
// own.
constexpr uint32_t kFewestNarrowRows = 3, kManyNarrowRows = 64, kMostNormalizedRows = 16;
// Tiles of 64 x 128 beyond which large tiles fill a large GPU.
constexpr uint32_t kMostNarrowTiles = 132;

// For more than a few rows the matrix units win, unless they are emulated: lavapipe takes 3 times
// as long with them as with tiles.
bool PrefersMatrix(const Caps& caps, const MatMulNBitsShape& shape) {
  return shape.m > kMatMulNBitsDecodeRows && !shape.norm.present && !caps.software &&
         !MatrixTunings(caps, shape).empty();
}

// The matrix units have to be real for this, too. 256 rows of 2048 x 6144 take 42 us by narrow
// tiles and 73 by the best large ones; 128 of the gated 6144 x 2048 44 and 36.
bool PrefersNarrow(const Caps& caps, const MatMulNBitsShape& shape) {
  if (caps.software || shape.m < kFewestNarrowRows) return false;
  if (shape.norm.present && shape.m > kMostNormalizedRows) return false;
  const uint32_t n = shape.n_count == 0 ? shape.n : shape.n_count;
  if (shape.m > kManyNarrowRows &&
      (shape.glu != Glu::kNone || CeilDiv(shape.m, 64) * CeilDiv(n, 128) > kMostNarrowTiles)) {
    return false;
  }
  return !NarrowTunings(caps, shape).empty();
}

// Packed dot products need half the instructions of an f32 tile, if the hardware has them. They
// round f32 activations, which only an explicitly chosen variant may do. A software GPU keeps its
// tiles: lavapipe would take the bundled model's 256 tokens in 0.33 to 0.36 s instead of 0.42, but
// compiles each dot shader for 0.5 to 1 s first.
bool PrefersDot(const Caps& caps, const MatMulNBitsShape& shape) {
  return (shape.m > kDotRows || shape.experts > 0) && !caps.software &&
         shape.dtype == DType::kF16 && !DotTunings(caps, shape).empty();
}

// Returns whether the dispatch does nothing before or after the product.
bool IsPlain(const MatMulNBitsShape& shape) {
  return !shape.norm.present && !shape.residual && shape.glu == Glu::kNone;
}

void CheckShape(const MatMulNBitsShape& shape) {
  if (shape.bits != 2 && shape.bits != 4 && shape.bits != 8) {
    throw Error("kernels", "bits of MatMulNBits: got {}, want 2, 4 or 8", shape.bits);
  }
  if (!std::has_single_bit(shape.block_size) || shape.block_size < 16 || shape.block_size > 256) {
    throw Error("kernels", "block size of MatMulNBits: got {}, want a power of two from 16 to 256",
                shape.block_size);
  }
  SINTER_CHECK(
      shape.interleave == 1 || (shape.interleave == kInterleavedRows && shape.experts == 0 &&
                                (shape.n | shape.n_begin | shape.n_count) % kInterleavedRows == 0),
      "rows {} + {} of {} by {}", shape.n_begin, shape.n_count, shape.n, shape.interleave);
  SINTER_CHECK(shape.m > 0 && shape.n > 0 && shape.k > 0, "{} x {} x {}", shape.m, shape.n,
               shape.k);
  SINTER_CHECK(uint64_t{shape.n_begin} + shape.n_count <= shape.n, "rows {} + {} of {}",
               shape.n_begin, shape.n_count, shape.n);
}

// Returns the tuning that a variant names; for the name of the family, the best one. Returns
// nothing for variants of other families. `name` returns a tuning's name.
template <typename Tuning>
std::optional<Tuning> FindTuning(const std::vector<Tuning>& tunings, std::string_view family,
                                 std::string (*name)(const Tuning&), std::string_view variant) {
  const auto is_it = [&](const Tuning& tuning) {
    return variant == family || variant == name(tuning);
  };
  const auto it = std::ranges::find_if(tunings, is_it);
  return it == tunings.end() ? std::nullopt : std::optional(*it);
}

std::optional<MatrixTuning> FindMatrix(const Caps& caps, const MatMulNBitsShape& shape,
                                       std::string_view variant) {
  if (shape.norm.present) return std::nullopt;
  return FindTuning(MatrixTunings(caps, shape), "matrix", MatrixVariant, variant);
}

std::optional<NarrowTuning> FindNarrow(const Caps& caps, const MatMulNBitsShape& shape,
                                       std::string_view variant) {
  return FindTuning(NarrowTunings(caps, shape), "narrow", NarrowVariant, variant);
}

std::optional<DotTuning> FindDot(const Caps& caps, const MatMulNBitsShape& shape,
                                 std::string_view variant) {
  return FindTuning(DotTunings(caps, shape), "dot", DotVariant, variant);
}

std::optional<DecodeTuning> FindDecode(const Caps& caps, const MatMulNBitsShape& shape,
                                       std::string_view variant) {
  return FindTuning(DecodeTunings(caps, shape), "decode", DecodeVariant, variant);
}

// Returns the family of the best guess.
std::string_view GuessFamily(const Caps& caps, const MatMulNBitsShape& shape) {
  if (PrefersNarrow(caps, shape)) return "narrow";
  if (PrefersMatrix(caps, shape)) return "matrix";
  if (PrefersDot(caps, shape)) return "dot";
  return IsPlain(shape) && PrefersTile(caps, shape) ? "tile" : "decode";
}

KernelPlan PlanTile(const Caps& caps, const MatMulNBitsShape& shape) {
  KernelPlan plan = PlanMatMulNBitsInputs(caps, shape, 1);
  MatMulNBitsParams params = MakeMatMulNBitsParams(shape);
  const uint32_t tile_m = TileRows(shape);

  plan.wgsl = "matmul_nbits_tile/matmul_nbits_tile.wgsl";
  plan.prelude +=
      fmt::format("const kTileM = {}u;\nconst kExperts = {}u;\n", tile_m, shape.experts);
  if (shape.experts > 0) {
    SINTER_CHECK(tile_m == kMatMulNBitsExpertRows && shape.m % tile_m == 0, "{} rows", shape.m);
    plan.defines.emplace_back("experts");
    plan.variant += fmt::format(".of{}", shape.experts);
  }
  plan.variant += fmt::format(".tile{}x{}", tile_m, kTileN);

  params.row_units = static_cast<uint32_t>(shape.b_row_bytes() / 4);
  plan.workgroups = {(shape.m + tile_m - 1) / tile_m, (params.n_count + kTileN - 1) / kTileN, 1};
  plan.SetParams(params);
  return plan;
}

}  // namespace

KernelPlan PlanMatMulNBitsInputs(const Caps& caps, const MatMulNBitsShape& shape,
                                 uint32_t unit_words) {
  const std::string_view act = WgslType(caps, shape.dtype);
  KernelPlan plan;
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias unit_t = {};\nconst kBits = {}u;\nconst kBlockSize = {}u;\n"
      "const kInterleave = {}u;\nconst kUnitsTogether = {}u;\n",
      act, UnitType(unit_words), shape.bits, shape.block_size, shape.interleave,
      shape.unit_words() / unit_words);
  plan.defines.emplace_back(ZeroPointsName(shape.zero_points));
  if (act == "f16") plan.defines.emplace_back("f16");
  if (shape.bias) plan.defines.emplace_back("bias");
  const bool a_vec4 = shape.k % 4 == 0;
  if (a_vec4) plan.defines.emplace_back("a_vec4");
  plan.variant = fmt::format("matmul_nbits.{}.b{}.blk{}{}{}{}{}", act, shape.bits, shape.block_size,
                             InterleaveTag(shape), ZeroPointsTag(shape.zero_points),
                             shape.bias ? ".bias" : "", a_vec4 ? "" : ".odd");
  return plan;
}

MatMulNBitsParams MakeMatMulNBitsParams(const MatMulNBitsShape& shape) {
  MatMulNBitsParams params = {};
  params.m = shape.m;
  params.n = shape.n;
  params.k = shape.k;
  params.n_begin = shape.n_begin;
  params.n_count = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;
  params.blocks = shape.blocks();
  params.zero_points_row_bytes = static_cast<uint32_t>(shape.packed_zero_points_row_bytes());
  return params;
}

std::vector<std::string> MatMulNBitsVariants(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<std::string> variants;
  const auto add_dot = [&] {
    // Real matrix units are much faster.
    if (shape.dtype != DType::kF16 || (!MatrixTunings(caps, shape).empty() && !caps.software))
      return;
    for (const DotTuning& tuning : DotTunings(caps, shape)) variants.push_back(DotVariant(tuning));
  };
  if (shape.experts > 0) {
    add_dot();
    variants.emplace_back("tile");
    return variants;
  }
  if (PrefersNarrow(caps, shape) || (shape.m == 2 && !caps.software)) {
    for (const NarrowTuning& tuning : NarrowTunings(caps, shape))
      variants.push_back(NarrowVariant(tuning));
  }
  const bool few = shape.m <= kMatMulNBitsDecodeRows;
  if (!few && !shape.norm.present) {
    for (const MatrixTuning& tuning : MatrixTunings(caps, shape))
      variants.push_back(MatrixVariant(tuning));
    add_dot();
  }
  if (!few && IsPlain(shape)) variants.emplace_back("tile");
  if (few || variants.empty()) {
    for (const DecodeTuning& tuning : DecodeTunings(caps, shape))
      variants.push_back(DecodeVariant(tuning));
  }
  return variants;
}

KernelPlan PlanMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape,
                           std::string_view variant) {
  CheckShape(shape);
  const std::string_view wanted = variant.empty() ? GuessFamily(caps, shape) : variant;
  if (const auto tuning = FindNarrow(caps, shape, wanted))
    return PlanMatMulNBitsNarrow(caps, shape, *tuning);
  if (const auto tuning = FindMatrix(caps, shape, wanted))
    return PlanMatMulNBitsMatrix(caps, shape, *tuning);
  if (const auto tuning = FindDot(caps, shape, wanted))
    return PlanMatMulNBitsDot(caps, shape, *tuning);
  if (IsPlain(shape) && wanted == "tile") return PlanTile(caps, shape);
  if (shape.experts == 0) {
    if (const auto tuning = FindDecode(caps, shape, wanted))
      return PlanMatMulNBitsDecode(caps, shape, *tuning);
  }
  ThrowUnknownVariant("matmul_nbits", variant, MatMulNBitsVariants(caps, shape));
}

Tunable MatMulNBitsTunable(const Caps& caps, const MatMulNBitsShape& shape) {
  return {
      .kernel = "matmul_nbits",
      .sizes = fmt::format("{}x{}x{}", shape.m, shape.n, shape.k),
      .variants = [=] { return MatMulNBitsVariants(caps, shape); },
      .plan = [=](std::string_view variant) { return PlanMatMulNBits(caps, shape, variant); },
      .scratch_words = std::max(MatrixScratchWords(caps, shape), NarrowScratchWords(caps, shape))};
}

bool CanFuseMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape, std::string_view variant) {
  if (IsPlain(shape)) return true;
  // A gate's rows are two ranges, which one binding must hold, so all rows must fit one range.
  if (shape.glu != Glu::kNone && SplitMatMulNBits(caps, shape).size() > 1) {
    return false;
  }
  if (variant.empty()) {
    if (shape.m <= kMatMulNBitsDecodeRows) return !DecodeTunings(caps, shape).empty();
    return PrefersNarrow(caps, shape) || PrefersMatrix(caps, shape) || PrefersDot(caps, shape);
  }
  return FindDecode(caps, shape, variant) || FindDot(caps, shape, variant) ||
         FindMatrix(caps, shape, variant) || FindNarrow(caps, shape, variant);
}

std::vector<RowRange> SplitMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape) {
  CheckShape(shape);
  const uint64_t act_bytes = DTypeBits(DeviceDType(caps, shape.dtype)) / 8;
  uint64_t zero_points_bytes = 0;
  if (shape.zero_points == ZeroPoints::kPacked) {
    zero_points_bytes = shape.packed_zero_points_row_bytes();
  } else if (shape.zero_points == ZeroPoints::kFloat) {
    zero_points_bytes = shape.blocks() * act_bytes;
  }
  const uint64_t row_bytes[] = {shape.b_row_bytes(), shape.blocks() * act_bytes, zero_points_bytes,
                                shape.bias ? act_bytes : 0};
  if (shape.interleave == 1) return SplitRows(caps, shape.b_rows(), row_bytes);
  // Interleaved rows are split by whole groups.
  std::vector<uint64_t> group_bytes;
  for (const uint64_t bytes : row_bytes) group_bytes.push_back(bytes * shape.interleave);
  std::vector<RowRange> ranges = SplitRows(caps, shape.b_rows() / shape.interleave, group_bytes);
  for (RowRange& range : ranges)
    range = {range.begin * shape.interleave, range.count * shape.interleave};
  return ranges;
}

}  // namespace sinter::kernels
