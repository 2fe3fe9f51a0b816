// Which plan a dispatch gets: the forced one, the one that measuring chose, or the best guess.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "compile/dispatch.h"
#include "kernels/tunable.h"

namespace sinter::compile {

// Forced variants by kernel (the first part of a plan's variant): {"matmul_nbits", "tile"}.
using ForcedVariants = std::map<std::string, std::string, std::less<>>;

// What measuring chose (run/plan_book.h): variants by the kind of dispatch.
using Choices = std::map<std::string, std::string, std::less<>>;

// The forced variant of a kernel, or "".
std::string_view ForcedVariant(const ForcedVariants& variants, std::string_view kernel);

// Picks the plan and, where it is not forced, offers all of them to measuring. A choice that the
// kernel does not have any more counts as none. `otherwise`: the variant that is chosen for a kind
// that was not measured, where the kernel has it. Throws Error for a forced variant that the kernel
// does not have.
TunedPlan Tune(const kernels::Tunable& tunable, const ForcedVariants& variants,
               const Choices& choices, std::string_view otherwise = {});

}  // namespace sinter::compile
