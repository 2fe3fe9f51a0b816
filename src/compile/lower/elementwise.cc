// Lowers elementwise operators.

#include "kernels/elementwise/elementwise.h"

#include "compile/lower/ops.h"
#include "kernels/cast/cast.h"
#include "kernels/where/where.h"

namespace sinter::compile {

void EmitBinary(LowerContext& context, const kernels::BinaryShape& shape, BufferRef a, BufferRef b,
                BufferRef y) {
  using Roles = kernels::BinaryRoles;
  context.Emit(kernels::PlanBinary(context.caps(), shape, context.variant("binary")),
               {{Roles::kA, a}, {Roles::kB, b}, {Roles::kY, y}});
}

void EmitCast(LowerContext& context, const kernels::CastShape& shape, BufferRef x, BufferRef y) {
  using Roles = kernels::CastRoles;
  context.Emit(kernels::PlanCast(context.caps(), shape, context.variant("cast")),
               {{Roles::kX, x}, {Roles::kY, y}});
}

void LowerUnary(LowerContext& context) {
  const graph::Node& node = context.node();
  kernels::UnaryShape shape;
  shape.op = *kernels::UnaryOpFromName(node.op());
  if (shape.op == kernels::UnaryOp::kGelu && node.String("approximate", "none") == "tanh") {
    shape.op = kernels::UnaryOp::kGeluTanh;
  }
  shape.dtype = context.dtype(0);
  shape.elems = graph::NumElements(context.shape(0));
  shape.alpha = node.Float("alpha", shape.alpha);
  if (shape.elems == 0) return;
  using Roles = kernels::UnaryRoles;
  context.Emit(kernels::PlanUnary(context.caps(), shape, context.variant("unary")),
               {{Roles::kX, context.In(0)}, {Roles::kY, context.Out(0)}});
}

void LowerBinary(LowerContext& context) {
  const graph::Node& node = context.node();
  kernels::BinaryShape shape;
  shape.op = *kernels::BinaryOpFromName(node.op());
  if (shape.op == kernels::BinaryOp::kMod && node.Int("fmod", 0) != 0)
    shape.op = kernels::BinaryOp::kFmod;
  shape.dtype = context.dtype(0);
  shape.a = context.shape(0);
  shape.b = context.shape(1);
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  EmitBinary(context, shape, context.In(0), context.In(1), context.Out(0));
}

void LowerFastGelu(LowerContext& context) {
  if (!context.has(1)) return LowerUnary(context);
  const kernels::BinaryShape shape = {kernels::BinaryOp::kFastGelu, context.dtype(0),
                                      context.shape(0), context.shape(1)};
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  EmitBinary(context, shape, context.In(0), context.In(1), context.Out(0));
}

void LowerCast(LowerContext& context) {
  const kernels::CastShape shape = {context.dtype(0), context.output_dtype(0),
                                    graph::NumElements(context.shape(0))};
  if (kernels::CastIsCopy(context.caps(), shape.from, shape.to)) return context.Alias(0, 0);
  if (shape.elems == 0) return;
  EmitCast(context, shape, context.In(0), context.Out(0));
}

void LowerWhere(LowerContext& context) {
  const kernels::WhereShape shape = {context.dtype(1), context.shape(0), context.shape(1),
                                     context.shape(2)};
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  using Roles = kernels::WhereRoles;
  context.Emit(kernels::PlanWhere(context.caps(), shape, context.variant("where")),
               {{Roles::kCondition, context.In(0)},
                {Roles::kA, context.In(1)},
                {Roles::kB, context.In(2)},
                {Roles::kY, context.Out(0)}});
}

void (*FindElementwiseLowering(std::string_view op))(LowerContext&) {
  if (kernels::UnaryOpFromName(op)) return LowerUnary;
  if (kernels::BinaryOpFromName(op)) return LowerBinary;
  return nullptr;
}

}  // namespace sinter::compile
