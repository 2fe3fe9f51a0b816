// Picks a dispatch's plan: the forced one, the one that measuring chose, or the best guess.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "compile/dispatch.h"
#include "kernels/tunable.h"

namespace sinter::compile {

// Forced variants by kernel: {"matmul_nbits", "tile"}.
using ForcedVariants = std::map<std::string, std::string, std::less<>>;

// Variants that measuring chose (run/plan_book.h), by kind of dispatch.
using Choices = std::map<std::string, std::string, std::less<>>;

// Returns the forced variant of a kernel, or "".
std::string_view ForcedVariant(const ForcedVariants& variants, std::string_view kernel);

// Picks the plan and, unless it is forced, offers all plans to measuring. Ignores a choice that the
// kernel does not have (any more). A kind without a choice takes the variant `otherwise` if the
// kernel has it. Throws Error if the kernel does not have the forced variant.
TunedPlan Tune(const kernels::Tunable& tunable, const ForcedVariants& variants,
               const Choices& choices, std::string_view otherwise = {});

}  // namespace sinter::compile
