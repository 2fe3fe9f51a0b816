// Fusion level `chain`: joins the products and the attention of a layer to one dispatch, and
// consecutive equal layers to the same dispatch (kernels/layer_chain/layer_chain.h).
#pragma once

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/tuning.h"

namespace sinter::compile {

// Replaces runs of dispatches, each of which reads what the previous one wrote, by chains where the
// kernel supports them. Several layers become one chain if their constants can be concatenated and
// if the `places` given to Lower() put their caches at equal distances. A forced variant of
// `layer_chain` and the `choices` apply to all chains.
void ChainProducts(Lowered& lowered, const Caps& caps, const ForcedVariants& variants,
                   const Choices& choices);

}  // namespace sinter::compile
