// Rules of the operators that move elements or compute shapes.
#include <limits>

#include "passes/step_reshape.h"
#include "passes/step_rule_util.h"

namespace sinter::passes {
namespace {

using graph::Shape;

Facts Moved(const RuleCall& call, std::vector<Affine> axes) {
  const Facts& from = call.facts(0);
  if (!KeepsOrder(from.axes, call.inputs[0].shape, axes, call.outputs[0])) {
    return Wrong(call, "joins or cuts an axis whose length depends on the run");
  }
  Facts out;
  out.numbers = from.numbers;
  out.is_mask = from.is_mask;
  out.is_last_row = from.is_last_row;
  if (from.iota) {
    const Affine& size = from.axes[from.iota->axis];
    const auto other = [](const Affine& axis) { return !axis.is(1); };
    const auto at = std::ranges::find_if(axes, other);
    if (std::ranges::count_if(axes, other) == 1 && *at == size) {
      out.iota = from.iota;
      out.iota->axis = static_cast<size_t>(at - axes.begin());
    }
  }
  out.axes = std::move(axes);
  return out;
}

Facts Reshape(const RuleCall& call) {
  if (!call.has(1) || !call.facts(1).numbers)
    return Wrong(call, "its shape depends on the run in a way that is not followed");
  const auto axes =
      ReshapedAxes(call.facts(0).axes, *call.facts(1).numbers, call.node.Int("allowzero", 0) != 0);
  if (!axes) return Wrong(call, "joins or cuts an axis whose length depends on the run");
  return Moved(call, *axes);
}

Facts Flatten(const RuleCall& call) {
  const std::vector<Affine>& from = call.facts(0).axes;
  int64_t axis = call.node.Int("axis", 1);
  if (axis < 0) axis += static_cast<int64_t>(from.size());
  const auto middle = from.begin() + axis;
  const auto rows = ProductOf({from.begin(), middle}), columns = ProductOf({middle, from.end()});
  if (!rows || !columns) return Wrong(call, "joins axes whose lengths depend on the run");
  return Moved(call, {*rows, *columns});
}

Facts Unsqueeze(const RuleCall& call) {
  const std::optional<std::vector<int64_t>> added = ConstantsOf(call, 1);
  if (!added) return Wrong(call, "its axes depend on the run");
  const auto rank = static_cast<int64_t>(call.outputs[0].size());
  std::vector<Affine> axes;
  size_t next = 0;
  for (int64_t d = 0; d < rank; ++d) {
    const bool is_new = std::ranges::any_of(
        *added, [&](int64_t axis) { return graph::NormalizeAxis(call.node, axis, rank) == d; });
    axes.push_back(is_new ? Affine(1) : call.facts(0).axes[next++]);
  }
  return Moved(call, std::move(axes));
}

Facts Squeeze(const RuleCall& call) {
  const std::vector<Affine>& from = call.facts(0).axes;
  const auto rank = static_cast<int64_t>(from.size());
  std::vector<bool> gone;
  if (!call.has(1)) {
    for (size_t d = 0; d < from.size(); ++d) gone.push_back(call.inputs[0].shape[d] == 1);
  } else {
    const std::optional<std::vector<int64_t>> axes = ConstantsOf(call, 1);
    if (!axes) return Wrong(call, "its axes depend on the run");
    gone.resize(from.size());
    for (const int64_t axis : *axes)
      gone[static_cast<size_t>(graph::NormalizeAxis(call.node, axis, rank))] = true;
  }
  std::vector<Affine> axes;
  for (size_t d = 0; d < from.size(); ++d) {
    if (gone[d] && !from[d].is(1)) return Wrong(call, "drops an axis of {}", Text(from[d]));
    if (!gone[d]) axes.push_back(from[d]);
  }
  return Moved(call, std::move(axes));
}

Facts Transpose(const RuleCall& call) {
  const Facts& from = call.facts(0);
  const size_t rank = from.axes.size();
  std::vector<int64_t> perm(rank);
  for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int64_t>(rank - 1 - i);
  perm = call.node.Ints("perm", perm);
  Facts out;
  for (size_t i = 0; i < rank; ++i) {
    const auto axis =
        static_cast<size_t>(graph::NormalizeAxis(call.node, perm[i], static_cast<int64_t>(rank)));
    out.axes.push_back(from.axes[axis]);
    if (from.iota && from.iota->axis == axis) out.iota = Iota{i, from.iota->base, from.iota->step};
  }
  if (rank <= 1) out.numbers = from.numbers;
  out.is_mask = from.is_mask;
  return out;
}

Facts Expand(const RuleCall& call) {
  if (!call.facts(1).numbers)
    return Wrong(call, "its shape depends on the run in a way that is not followed");
  const std::vector<Affine>&from = call.facts(0).axes, &to = *call.facts(1).numbers;
  const size_t rank = call.outputs[0].size();
  Facts out;
  for (size_t d = 0; d < rank; ++d) {
    const Affine a = d + from.size() < rank ? Affine(1) : from[d + from.size() - rank];
    const Affine b = d + to.size() < rank ? Affine(1) : to[d + to.size() - rank];
    if (a != b && !a.is(1) && !b.is(1))
      return Wrong(call, "joins an axis of {} with one of {}", Text(a), Text(b));
    out.axes.push_back(a.is(1) ? b : a);
  }
  if (out.axes == from) {
    out.numbers = call.facts(0).numbers;
    out.iota = call.facts(0).iota;
    out.is_mask = call.facts(0).is_mask;
  } else if (call.facts(0).numbers && call.facts(0).numbers->size() == 1 && AllConstant(out.axes) &&
             graph::NumElements(call.outputs[0]) <= kMaxNumbers) {
    out.numbers.emplace(static_cast<size_t>(graph::NumElements(call.outputs[0])),
                        (*call.facts(0).numbers)[0]);
  }
  return out;
}

Facts Concat(const RuleCall& call) {
  const size_t rank = call.outputs[0].size();
  const size_t axis = AxisOf(call.node, "axis", 0, rank);
  Facts out;
  out.axes = call.facts(0).axes;
  Affine size = 0;
  bool known = rank == 1;
  std::vector<Affine> numbers;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const Facts& part = call.facts(i);
    for (size_t d = 0; d < rank; ++d) {
      if (d != axis && part.axes[d] != out.axes[d]) {
        return Wrong(call, "joins an axis of {} with one of {}", Text(out.axes[d]),
                     Text(part.axes[d]));
      }
    }
    // What comes after an axis of the run's length begins at different places in a program.
    if (!size.is_constant())
      return Wrong(call, "appends elements to an axis of {}, which is longer in a program",
                   Text(size));
    const std::optional<Affine> sum = Sum(size, part.axes[axis]);
    if (!sum) return Wrong(call, "its axis is too long");
    if (call.cut && i > 0 && CountsFromRun(*sum)) return CutMatters(call);
    size = *sum;
    known &= part.numbers.has_value();
    if (known) numbers.insert(numbers.end(), part.numbers->begin(), part.numbers->end());
  }
  out.axes[axis] = size;
  if (known && static_cast<int64_t>(numbers.size()) <= kMaxNumbers) out.numbers = numbers;
  return out;
}

std::vector<Facts> Split(const RuleCall& call) {
  const Facts& from = call.facts(0);
  const size_t axis = AxisOf(call.node, "axis", 0, from.axes.size());
  std::vector<Facts> parts;
  int64_t begin = 0;
  for (const graph::Shape& shape : call.outputs) {
    if (!from.axes[axis].is_constant()) {
      parts.push_back(Wrong(call, "cuts an axis of {}", Text(from.axes[axis])));
      continue;
    }
    Facts& part = parts.emplace_back();
    part.axes = from.axes;
    if (shape.empty()) continue;
    part.axes[axis] = shape[axis];
    if (from.numbers && from.axes.size() == 1)
      part.numbers.emplace(from.numbers->begin() + begin, from.numbers->begin() + begin + shape[0]);
    begin += shape[axis];
  }
  return parts;
}

// Returns the size that is left of an axis of `size` from `start` to `end`, or facts why not.
std::optional<Affine> Sliced(const Affine& size, const Affine& start, const Affine& end,
                             int64_t whole) {
  if (!start.is(0)) return std::nullopt;
  // Ends beyond any length mean all that is there, as in ONNX.
  if (end.is_constant() && end.constant >= std::numeric_limits<int32_t>::max()) return size;
  if (IsLess(size, end, true).value_or(false)) return size;
  if (IsLess(end, size, true).value_or(false) && IsLess(0, end, true).value_or(false)) return end;
  // The end of a part of a table: a run beyond the table is an error of the model.
  if (size.is_constant() && size.constant == whole && !end.is_constant() &&
      IsLess(0, end, true).value_or(false)) {
    return end;
  }
  return std::nullopt;
}

Facts Slice(const RuleCall& call) {
  const Facts& from = call.facts(0);
  const auto numbers = [&](size_t i) -> std::optional<std::vector<Affine>> {
    return call.has(i) ? call.facts(i).numbers : std::nullopt;
  };
  const std::optional<std::vector<Affine>> starts = numbers(1), ends = numbers(2);
  const auto axes = ConstantsOf(call, 3), steps = ConstantsOf(call, 4);
  if (!starts || !ends || (call.has(3) && !axes) || (call.has(4) && !steps))
    return Wrong(call, "its range depends on the run in a way that is not followed");
  Facts out;
  out.axes = from.axes;
  const auto rank = static_cast<int64_t>(from.axes.size());
  for (size_t i = 0; i < starts->size(); ++i) {
    const auto axis = static_cast<size_t>(
        graph::NormalizeAxis(call.node, axes ? (*axes)[i] : static_cast<int64_t>(i), rank));
    const Affine size = from.axes[axis], start = (*starts)[i], end = (*ends)[i];
    const int64_t step = steps ? (*steps)[i] : 1;
    if (size.is_constant() && start.is_constant() && end.is_constant()) {
      out.axes[axis] = call.outputs[0][axis];
      if (from.numbers && rank == 1) {
        const int64_t first = std::clamp<int64_t>(
            start.constant < 0 ? start.constant + size.constant : start.constant, 0,
            std::max<int64_t>(0, size.constant - (step < 0 ? 1 : 0)));
        out.numbers.emplace();
        for (int64_t n = 0; n < call.outputs[0][axis]; ++n)
          out.numbers->push_back((*from.numbers)[static_cast<size_t>(first + n * step)]);
      }
      continue;
    }
    const std::optional<Affine> part =
        step == 1 ? Sliced(size, start, end, call.inputs[0].shape[axis]) : std::nullopt;
    if (!part)
      return Wrong(call, "takes elements {} to {} of {}", Text(start), Text(end), Text(size));
    if (*part == size) continue;
    if (call.cut && (CountsFromRun(*part) || CountsFromRun(size))) return CutMatters(call);
    out.axes[axis] = *part;
  }
  if (out.axes == from.axes) out.is_mask = from.is_mask, out.iota = from.iota;
  return out;
}

Facts Gather(const RuleCall& call) {
  const Facts &data = call.facts(0), &index = call.facts(1);
  const size_t axis = AxisOf(call.node, "axis", 0, data.axes.size());
  const Affine& size = data.axes[axis];
  const std::optional<std::vector<int64_t>> at = ConstantsOf(call, 1);
  if (index.is_last_row) {
    if (size != call.rows)
      return Wrong(call, "takes the last of {} rows, want {}", Text(size), Text(call.rows));
  } else if (!size.is_constant()) {
    const bool known = at && std::ranges::all_of(*at, [&](int64_t i) {
                         return i >= 0 && IsLess(i, size, false).value_or(false);
                       });
    if (!known || CountsFromRun(size))
      return Wrong(call, "takes elements by their index of {}", Text(size));
  }
  Facts out;
  const auto place = data.axes.begin() + static_cast<std::ptrdiff_t>(axis);
  out.axes.assign(data.axes.begin(), place);
  out.axes.insert(out.axes.end(), index.axes.begin(), index.axes.end());
  out.axes.insert(out.axes.end(), place + 1, data.axes.end());
  if (data.numbers && at && data.axes.size() == 1) {
    out.numbers.emplace();
    const auto count = static_cast<int64_t>(data.numbers->size());
    for (const int64_t i : *at) {
      if (i < -count || i >= count) return Wrong(call, "index {} is out of range", i);
      out.numbers->push_back((*data.numbers)[static_cast<size_t>(i < 0 ? i + count : i)]);
    }
  }
  return out;
}

Facts ShapeOf(const RuleCall& call) {
  const std::vector<Affine>& axes = call.facts(0).axes;
  const auto rank = static_cast<int64_t>(axes.size());
  const auto clamp = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = clamp(call.node.Int("start", 0)), end = clamp(call.node.Int("end", rank));
  Facts out;
  out.numbers.emplace();
  for (int64_t d = start; d < end; ++d) out.numbers->push_back(axes[static_cast<size_t>(d)]);
  out.axes = {Affine(static_cast<int64_t>(out.numbers->size()))};
  if (!AllConstant(*out.numbers)) out.content = Content::kStale;
  return out;
}

Facts Range(const RuleCall& call) {
  const std::optional<Affine> start = NumberOf(call, 0), limit = NumberOf(call, 1),
                              step = NumberOf(call, 2);
  Facts out;
  if (!start || !limit || !step) {
    for (size_t i = 0; i < 3; ++i) {
      if (call.facts(i).content != Content::kEqual)
        return Wrong(call, "its range depends on the run in a way that is not followed");
    }
    out.axes = ConstantAxes(call.outputs[0]);
    return out;
  }
  const std::optional<Affine> span = Difference(*limit, *start);
  std::optional<Affine> count = span ? Quotient(*span, *step) : std::nullopt;
  if (span && span->is_constant()) count = Affine(call.outputs[0][0]);
  if (!count || !step->is_constant() || !count->Least() || *count->Least() < 0) {
    return Wrong(call, "goes from {} to {} by {}", Text(*start), Text(*limit), Text(*step));
  }
  out.axes = {*count};
  out.iota = Iota{0, *start, step->constant};
  if (count->is_constant() && count->constant <= kMaxNumbers) {
    out.numbers.emplace();
    for (int64_t i = 0; i < count->constant; ++i) {
      const std::optional<Affine> offset = Product(i, *step);
      const std::optional<Affine> element = offset ? Sum(*start, *offset) : std::nullopt;
      if (!element) return Wrong(call, "is too long");
      out.numbers->push_back(*element);
    }
  }
  if (!start->is_constant() || (call.cut && CountsFromRun(*count))) out.content = Content::kStale;
  return out;
}

Facts ConstantOfShape(const RuleCall& call) {
  if (!call.facts(0).numbers)
    return Wrong(call, "its shape depends on the run in a way that is not followed");
  Facts out;
  out.axes = *call.facts(0).numbers;
  const graph::Attribute* value = call.node.Find("value");
  const int64_t count = graph::NumElements(call.outputs[0]);
  if (AllConstant(out.axes) && count <= kMaxNumbers && value != nullptr &&
      !IsFloat(std::get<graph::Tensor>(*value).dtype)) {
    out.numbers.emplace(static_cast<size_t>(count), std::get<graph::Tensor>(*value).ToInts().at(0));
  }
  return out;
}

}  // namespace

Rule FindMovementRule(std::string_view domain, std::string_view op) {
  constexpr std::pair<std::string_view, Rule> kRules[] = {
      {"Reshape", One<Reshape>},
      {"Flatten", One<Flatten>},
      {"Unsqueeze", One<Unsqueeze>},
      {"Squeeze", One<Squeeze>},
      {"Transpose", One<Transpose>},
      {"Expand", One<Expand>},
      {"Concat", One<Concat>},
      {"Split", Split},
      {"Slice", One<Slice>},
      {"Gather", One<Gather>},
      {"Shape", One<ShapeOf>},
      {"Range", One<Range>},
      {"ConstantOfShape", One<ConstantOfShape>},
  };
  if (!domain.empty()) return nullptr;
  for (const auto& [name, rule] : kRules) {
    if (name == op) return rule;
  }
  return nullptr;
}

}  // namespace sinter::passes
