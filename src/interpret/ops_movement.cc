// Operators that move elements and compute nothing.

#include <algorithm>
#include <numeric>

#include "graph/ops.h"
#include "interpret/ops.h"
#include "kernels/gather/gather.h"
#include "kernels/strided_copy/strided_copy.h"

namespace sinter::interpret {
namespace {

int64_t Axis(const Call& call, int64_t fallback, size_t rank) {
  return graph::NormalizeAxis(call.node(), call.node().Int("axis", fallback),
                              static_cast<int64_t>(rank));
}

std::vector<double> Copied(const kernels::StridedCopyShape& copy, std::span<const double> from,
                           size_t elems) {
  std::vector<double> to(elems);
  if (elems > 0) kernels::StridedCopyReference(copy, from, to);
  return to;
}

size_t Elems(const graph::Shape& shape) { return static_cast<size_t>(graph::NumElements(shape)); }

void View(Call& call) {
  const HostTensor& from = call.in(0);
  if (from.raw.empty()) return call.Out(0, from.values);
  call.OutRaw(0, from.raw);
}

void Transpose(Call& call) {
  const graph::Shape& shape = call.shape(0);
  std::vector<int64_t> reversed(shape.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  const auto copy =
      kernels::TransposeCopy(call.dtype(0), shape, call.node().Ints("perm", reversed));
  call.Out(0, Copied(copy, call.values(0), call.values(0).size()));
}

void Slice(Call& call) {
  const graph::Shape& shape = call.shape(0);
  std::vector<int64_t> starts(shape.size(), 0), steps(shape.size(), 1);
  const std::vector<int64_t> given = call.ints(1), given_steps = call.ints(4);
  std::vector<int64_t> axes = call.ints(3);
  if (!call.has(3)) {
    axes.resize(given.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(
        graph::NormalizeAxis(call.node(), axes[i], static_cast<int64_t>(shape.size())));
    const int64_t size = shape[axis], step = given_steps.empty() ? 1 : given_steps[i];
    const int64_t start = given[i] < 0 ? given[i] + size : given[i];
    starts[axis] = std::clamp<int64_t>(start, 0, step > 0 ? size : size - 1);
    steps[axis] = step;
  }
  const graph::Shape to = call.out_shape(0);
  if (Elems(to) == 0) return call.Out(0, {});
  call.Out(0, Copied(kernels::SliceCopy(call.dtype(0), shape, starts, steps, to), call.values(0),
                     Elems(to)));
}

void Split(Call& call) {
  const graph::Shape& shape = call.shape(0);
  const int64_t axis = Axis(call, 0, shape.size());
  int64_t start = 0;
  for (size_t i = 0; i < call.node().outputs().size(); ++i) {
    const graph::Shape to = call.out_shape(i);
    const int64_t size = to[static_cast<size_t>(axis)];
    call.Out(i, Copied(kernels::SplitCopy(call.dtype(0), shape, axis, start, size), call.values(0),
                       Elems(to)));
    start += size;
  }
}

void Concat(Call& call) {
  const graph::Shape to = call.out_shape(0);
  const int64_t axis = Axis(call, 0, to.size());
  std::vector<double> out(Elems(to));
  int64_t start = 0;
  for (size_t i = 0; i < call.node().inputs().size(); ++i) {
    const graph::Shape& from = call.shape(i);
    if (Elems(from) > 0) {
      kernels::StridedCopyReference(kernels::ConcatCopy(call.dtype(i), from, to, axis, start),
                                    call.values(i), out);
    }
    start += from[static_cast<size_t>(axis)];
  }
  call.Out(0, std::move(out));
}

void Expand(Call& call) {
  const graph::Shape to = call.out_shape(0);
  call.Out(
      0, Copied(kernels::ExpandCopy(call.dtype(0), call.shape(0), to), call.values(0), Elems(to)));
}

void Gather(Call& call) {
  const graph::Shape& data = call.shape(0);
  const auto axis = static_cast<size_t>(Axis(call, 0, data.size()));
  kernels::GatherShape shape;
  shape.outer = Count(data, 0, axis);
  shape.axis = Count(data[axis]);
  shape.inner = Count(data, axis + 1, data.size());
  shape.indices = Count(static_cast<int64_t>(call.values(1).size()));
  call.Out(0, kernels::GatherReference(shape, call.values(0), call.values(1)));
}

}  // namespace

Operator FindMovement(std::string_view op) {
  for (const std::string_view view : {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}) {
    if (op == view) return View;
  }
  if (op == "Transpose") return Transpose;
  if (op == "Slice") return Slice;
  if (op == "Split") return Split;
  if (op == "Concat") return Concat;
  if (op == "Expand") return Expand;
  if (op == "Gather") return Gather;
  return nullptr;
}

}  // namespace sinter::interpret
