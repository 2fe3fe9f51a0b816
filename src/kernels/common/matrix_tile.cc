#include "kernels/common/matrix_tile.h"

#include <fmt/format.h>

#include <algorithm>

namespace sinter::kernels {

std::string MatrixTileName(const MatrixTile& tile) {
  return fmt::format(
      "{}x{}x{}.{}x{}{}{}{}{}", tile.m, tile.n, tile.step, tile.rows, tile.cols,
      tile.split == 1 ? "" : fmt::format(".k{}", tile.split), tile.buffers == 1 ? ".single" : "",
      tile.parts == 1 ? "" : fmt::format(".p{}", tile.parts), tile.late ? ".late" : "");
}

std::optional<MatrixTileLayout> LayOutMatrixTile(const Caps& caps, const MatrixTile& tile,
                                                 bool turned) {
  const std::optional<SubgroupMatrixConfig> config = FindMatrixConfig(caps);
  if (!config) return {};
  const uint32_t sub_m = tile.rows * config->m, sub_n = tile.cols * config->n;
  if (tile.m % sub_m != 0 || tile.n % sub_n != 0) return {};
  if (tile.step % (tile.split * config->k) != 0) return {};
  const uint32_t subgroups = tile.m / sub_m * (tile.n / sub_n) * tile.split;
  const MatrixTileLayout layout = {*config, caps.fixed_subgroup_size(),
                                   subgroups * caps.fixed_subgroup_size()};
  if (layout.threads > caps.limits.max_invocations_per_workgroup ||
      layout.threads > caps.limits.max_workgroup_size_x) {
    return {};
  }
  // Counted in vec4<u32>, as in the shader.
  const uint32_t a_step = tile.m * (tile.step / 8 + 1);
  const uint32_t b_step = turned ? tile.n * (tile.step / 8 + 1) : tile.step * (tile.n / 8 + 1);
  const uint32_t stage = subgroups * config->m * (sub_n / 4 + 1);
  if (std::max(tile.buffers * (a_step + b_step), stage) * 16 >
      caps.limits.max_workgroup_storage_bytes) {
    return {};
  }
  return layout;
}

std::string MatrixTilePrelude(const MatrixTile& tile, const MatrixTileLayout& layout, bool turned) {
  return fmt::format(
      "const kTileM = {}u;\nconst kTileN = {}u;\nconst kStep = {}u;\nconst kRows = {}u;\n"
      "const kCols = {}u;\nconst kSplit = {}u;\nconst kBuffers = {}u;\n"
      "const kTransposed = {};\nconst kSubgroup = {}u;\nconst kMatM = {}u;\nconst kMatN = {}u;\n"
      "const kMatK = {}u;\n",
      tile.m, tile.n, tile.step, tile.rows, tile.cols, tile.split, tile.buffers, turned,
      layout.subgroup_size, layout.config.m, layout.config.n, layout.config.k);
}

std::string MatrixTileVariant(const MatrixTile& tile, const MatrixTileLayout& layout) {
  return fmt::format("matrix.{}.sg{}.{}x{}x{}", MatrixTileName(tile), layout.subgroup_size,
                     layout.config.m, layout.config.n, layout.config.k);
}

}  // namespace sinter::kernels
