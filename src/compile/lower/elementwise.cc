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
               {{Roles::kA, a},
                {Roles::kB, b},
                {Roles::kY, y},
                {Roles::kFaults, shape.fault_word != 0 ? context.Faults() : BufferRef{}}});
}

void EmitCast(LowerContext& context, const kernels::CastShape& shape, BufferRef x, BufferRef y) {
  using Roles = kernels::CastRoles;
  context.Emit(kernels::PlanCast(context.caps(), shape, context.variant("cast")),
               {{Roles::kX, x},
                {Roles::kY, y},
                {Roles::kFaults, shape.fault_word != 0 ? context.Faults() : BufferRef{}}});
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

namespace {

using kernels::BinaryOp;

// Decides comparisons with an int64 constant whose elements are all above or all below the 32 bits
// that integers have on the GPU. Returns the operator that gives the same result when the constant
// is the nearest number of 32 bits, or `op` if there is no such constant.
BinaryOp DecideByRange(const LowerContext& context, BinaryOp op) {
  for (const size_t input : {0, 1}) {
    const auto bounds = context.Int64Bounds(input);
    if (!bounds || (bounds->least <= INT32_MAX && bounds->largest >= INT32_MIN)) continue;
    const bool above = bounds->least > INT32_MAX;
    // Whether operand 0 is the greater one, which is the same for all numbers of 32 bits.
    const bool greater = above == (input == 0);
    const bool result = greater ? op == BinaryOp::kGreater || op == BinaryOp::kGreaterOrEqual
                                : op == BinaryOp::kLess || op == BinaryOp::kLessOrEqual;
    // x <= INT32_MAX and x >= INT32_MIN hold for all x, x > INT32_MAX and x < INT32_MIN for none.
    if (result) return greater ? BinaryOp::kGreaterOrEqual : BinaryOp::kLessOrEqual;
    return greater ? BinaryOp::kLess : BinaryOp::kGreater;
  }
  return op;
}

// Returns the buffer of an operand. Comparisons, decided as above, and those maxima and minima that
// an element beyond 32 bits does not change take the nearest number of 32 bits.
BufferRef BinaryOperand(LowerContext& context, BinaryOp op, size_t input) {
  const auto bounds = context.Int64Bounds(input);
  if (!bounds) return context.In(input);
  const bool all_beyond = bounds->least > INT32_MAX || bounds->largest < INT32_MIN;
  const bool compares = kernels::BinaryResultDType(op, DType::kI64) == DType::kBool;
  if ((compares && all_beyond) || (op == BinaryOp::kMin && bounds->least >= INT32_MIN) ||
      (op == BinaryOp::kMax && bounds->largest <= INT32_MAX)) {
    return context.InSaturated(input);
  }
  return context.In(input);
}

}  // namespace

void LowerBinary(LowerContext& context) {
  const graph::Node& node = context.node();
  const size_t inputs = node.inputs().size();
  // Max and Min take any number of inputs.
  if (inputs == 1) return context.Alias(0, 0);
  kernels::BinaryShape shape;
  shape.op = *kernels::BinaryOpFromName(node.op());
  if (shape.op == kernels::BinaryOp::kMod && node.Int("fmod", 0) != 0)
    shape.op = kernels::BinaryOp::kFmod;
  if (kernels::BinaryResultDType(shape.op, DType::kI64) == DType::kBool)
    shape.op = DecideByRange(context, shape.op);
  shape.dtype = context.dtype(0);
  if (shape.dtype == DType::kI64 && kernels::MayLeaveRange(shape.op))
    shape.fault_word = context.fault_word();
  if (context.dtype(1) != shape.dtype) shape.exponent_dtype = context.dtype(1);
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  shape.a = context.shape(0);
  BufferRef a = BinaryOperand(context, shape.op, 0);
  for (size_t i = 1; i < inputs; ++i) {
    shape.b = context.shape(i);
    const bool last = i + 1 == inputs;
    graph::Shape wider = kernels::BroadcastShape(shape.a, shape.b);
    const DType device = kernels::DeviceDType(context.caps(), shape.dtype);
    const BufferRef y =
        last ? context.Out(0)
             : context.Scratch(DTypeBytes(device, static_cast<size_t>(graph::NumElements(wider))),
                               "so_far");
    EmitBinary(context, shape, a, BinaryOperand(context, shape.op, i), y);
    shape.a = std::move(wider);
    a = y;
  }
}

void LowerFastGelu(LowerContext& context) {
  if (!context.has(1)) return LowerUnary(context);
  const kernels::BinaryShape shape = {kernels::BinaryOp::kFastGelu, context.dtype(0),
                                      context.shape(0), context.shape(1)};
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  EmitBinary(context, shape, context.In(0), context.In(1), context.Out(0));
}

void LowerCast(LowerContext& context) {
  kernels::CastShape shape = {context.dtype(0), context.output_dtype(0),
                              graph::NumElements(context.shape(0))};
  if (IsFloat(shape.from) && shape.to == DType::kI64) shape.fault_word = context.fault_word();
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
