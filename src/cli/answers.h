// Figures and seeds of answers, for `run` and `chat`.
#pragma once

#include <cstdint>
#include <optional>

#include "cli/figures.h"
#include "generate/generator.h"

namespace sinter::cli {

AnswerFigures FiguresOf(const generate::Generation& generation);

// Returns the options' seed if tokens are drawn; nullopt if the most probable one is always taken.
std::optional<uint32_t> SeedOf(const model::GenaiConfig& config,
                               const generate::GenerateOptions& options);

}  // namespace sinter::cli
