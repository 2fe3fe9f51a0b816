// Filters of sequences: order, groups, sums.
#include <algorithm>
#include <unordered_map>

#include "text/jinja/code_points.h"
#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"

namespace sinter::text::jinja {
namespace {

Value ListFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("list", arguments, {});
  return runtime.NewList(ItemsOf(runtime, self));
}

Value FirstFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("first", arguments, {});
  Value item;
  if (Iterate(self)->Next(runtime, &item)) return item;
  return Value::Undefined("No first item, sequence was empty.");
}

// Whether Python's reversed() takes the value.
bool IsReversible(const Value& value) {
  if (value.kind() != Kind::kObject) return TryIterate(value) != nullptr;
  return value.As<RangeObject>() != nullptr || value.As<DictView>() != nullptr;
}

Value LastFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("last", arguments, {});
  if (!IsReversible(self)) Fail("'{}' object is not reversible", TypeName(self));
  if (self.IsSequence() && !self.items().empty()) return self.items().back();
  if (self.IsString() && !self.string().empty()) {
    return GetItem(runtime, self, Value::Int(-1));
  }
  const std::vector<Value> items = ItemsOf(runtime, self);
  return items.empty() ? Value::Undefined("No last item, sequence was empty.") : items.back();
}

class VectorIterator : public Iterator {
 public:
  explicit VectorIterator(std::vector<Value> items) : items_(std::move(items)) {}
  bool Next(Runtime&, Value* item) override {
    if (position_ >= items_.size()) return false;
    *item = items_[position_++];
    return true;
  }

 private:
  std::vector<Value> items_;
  size_t position_ = 0;
};

// Items that are computed when the first one is wanted, as the body of a generator is.
class DeferredIterator : public Iterator {
 public:
  using Compute = std::function<std::vector<Value>(Runtime& runtime)>;
  explicit DeferredIterator(Compute compute) : compute_(std::move(compute)) {}

  bool Next(Runtime& runtime, Value* item) override {
    if (items_ == nullptr) items_ = std::make_unique<VectorIterator>(compute_(runtime));
    return items_->Next(runtime, item);
  }

 private:
  Compute compute_;
  std::unique_ptr<VectorIterator> items_;
};

Value Defer(Runtime& runtime, DeferredIterator::Compute compute) {
  return Value::OfObject(runtime.New<GeneratorObject>(
      "generator", std::make_unique<DeferredIterator>(std::move(compute))));
}

Value ReverseFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("reverse", arguments, {});
  if (self.IsString()) {
    return GetSlice(runtime, self, Value::None(), Value::None(), Value::Int(-1));
  }
  if (TryIterate(self) == nullptr) Fail("argument must be iterable");
  std::vector<Value> items = ItemsOf(runtime, self);
  std::reverse(items.begin(), items.end());
  if (!IsReversible(self)) return runtime.NewList(std::move(items));
  runtime.CountHeap(items.size() * sizeof(Value));
  return Value::OfObject(
      runtime.New<GeneratorObject>("reversed", std::make_unique<VectorIterator>(std::move(items))));
}

Value JoinFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const std::string separator = bound[0] != nullptr ? StrOf(runtime, *bound[0]) : "";
  std::optional<AttributeGetter> getter;
  if (bound[1] != nullptr && !bound[1]->IsNone()) getter.emplace(*bound[1]);
  const std::unique_ptr<Iterator> iterator = Iterate(self);
  TextBuilder out(runtime);
  Value item;
  for (bool first = true; iterator->Next(runtime, &item); first = false) {
    if (!first) out.Append(separator);
    AppendStr(runtime, getter ? (*getter)(runtime, item) : item, &out);
  }
  return Value::String(out.Take());
}

// Sorts by keys, which are computed once. Equal items keep their order.
std::vector<Value> SortBy(Runtime& runtime, const std::vector<Value>& items,
                          const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? Ordered(runtime, "<", keys[b], keys[a])
                   : Ordered(runtime, "<", keys[a], keys[b]);
  });
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const size_t i : order) sorted.push_back(items[i]);
  return sorted;
}

Value SortFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool reverse = bound[0] != nullptr && Truth(runtime, *bound[0]);
  const bool case_sensitive = bound[1] != nullptr && Truth(runtime, *bound[1]);
  // Several attributes are separated by commas.
  std::vector<AttributeGetter> getters;
  if (bound[2] != nullptr && bound[2]->IsString()) {
    for (const std::string_view path : Split(bound[2]->string(), ",", -1, false)) {
      getters.emplace_back(Value::String(std::string(path)));
    }
  } else {
    getters.emplace_back(bound[2] != nullptr ? *bound[2] : Value::None());
  }
  const std::vector<Value> items = ItemsOf(runtime, self);
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> key;
    for (const AttributeGetter& getter : getters) {
      const Value part = getter(runtime, item);
      key.push_back(case_sensitive ? part : IgnoreCase(runtime, part));
    }
    keys.push_back(runtime.NewList(std::move(key)));
  }
  return runtime.NewList(SortBy(runtime, items, keys, reverse));
}

Value DictSortFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const bool case_sensitive = bound[0] != nullptr && Truth(runtime, *bound[0]);
  const std::string by = bound[1] != nullptr ? bound.String(1) : "key";
  const bool reverse = bound[2] != nullptr && Truth(runtime, *bound[2]);
  if (by != "key" && by != "value") Fail("You can only sort by either \"key\" or \"value\"");
  RequireDefined(self);
  if (!self.IsDict()) Fail("'{}' object has no attribute 'items'", TypeName(self));
  std::vector<Value> items, keys;
  for (const auto& [key, value] : self.dict().entries()) {
    items.push_back(runtime.NewTuple({key, value}));
    const Value& part = by == "key" ? key : value;
    keys.push_back(case_sensitive ? part : IgnoreCase(runtime, part));
  }
  return runtime.NewList(SortBy(runtime, items, keys, reverse));
}

// A group of groupby: a pair whose parts have names, too.
class GroupObject : public Object {
 public:
  GroupObject(Value grouper, Value list) : parts_{std::move(grouper), std::move(list)} {}

  std::string_view TypeName() const override { return "_GroupTuple"; }
  std::string Repr(Runtime& runtime) override {
    return fmt::format("({}, {})", ReprOf(runtime, parts_[0]), ReprOf(runtime, parts_[1]));
  }
  std::optional<int64_t> Length(Runtime&) override { return 2; }
  std::unique_ptr<Iterator> Iterate() override { return std::make_unique<VectorIterator>(parts_); }
  std::optional<Value> Attribute(Runtime&, std::string_view name) override {
    if (name == "grouper") return parts_[0];
    if (name == "list") return parts_[1];
    return std::nullopt;
  }
  std::optional<Value> Item(Runtime&, const Value& index) override {
    const int64_t at = index.IsIntegral() ? index.integer() : 2;
    if (at < -2 || at > 1) return std::nullopt;
    return parts_[static_cast<size_t>(at < 0 ? at + 2 : at)];
  }

 private:
  std::vector<Value> parts_;
};

Value GroupByFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  AttributeGetter getter(*bound[0]);
  if (bound[1] != nullptr) getter.set_default(*bound[1]);
  const bool case_sensitive = bound[2] != nullptr && Truth(runtime, *bound[2]);
  const auto key_of = [&](const Value& item) {
    const Value key = getter(runtime, item);
    return case_sensitive ? key : IgnoreCase(runtime, key);
  };
  const std::vector<Value> items = ItemsOf(runtime, self);
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) keys.push_back(key_of(item));
  const std::vector<Value> sorted = SortBy(runtime, items, keys, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < sorted.size();) {
    const Value key = key_of(sorted[begin]);
    size_t end = begin + 1;
    while (end < sorted.size() && Equal(runtime, key_of(sorted[end]), key)) ++end;
    std::vector<Value> group(sorted.begin() + static_cast<ptrdiff_t>(begin),
                             sorted.begin() + static_cast<ptrdiff_t>(end));
    // The first item's own key, not its lower case.
    groups.push_back(Value::OfObject(runtime.New<GroupObject>(getter(runtime, sorted[begin]),
                                                              runtime.NewList(std::move(group)))));
    begin = end;
  }
  return runtime.NewList(std::move(groups));
}

template <bool kMax>
Value ExtremeFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound(kMax ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const bool case_sensitive = bound[0] != nullptr && Truth(runtime, *bound[0]);
  const AttributeGetter getter(bound[1] != nullptr ? *bound[1] : Value::None());
  const auto key_of = [&](const Value& item) {
    const Value key = getter(runtime, item);
    return case_sensitive ? key : IgnoreCase(runtime, key);
  };
  const std::unique_ptr<Iterator> iterator = Iterate(self);
  Value best, item;
  if (!iterator->Next(runtime, &best)) {
    return Value::Undefined("No aggregated item, sequence was empty.");
  }
  Value best_key = key_of(best);
  while (iterator->Next(runtime, &item)) {
    const Value key = key_of(item);
    if (!Ordered(runtime, kMax ? ">" : "<", key, best_key)) continue;
    best = item;
    best_key = key;
  }
  return best;
}

Value SumFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("sum", arguments, {"attribute", "start"});
  std::optional<AttributeGetter> getter;
  if (bound[0] != nullptr && !bound[0]->IsNone()) getter.emplace(*bound[0]);
  Value sum = bound[1] != nullptr ? *bound[1] : Value::Int(0);
  if (sum.IsString()) Fail("sum() can't sum strings [use ''.join(seq) instead]");
  const std::unique_ptr<Iterator> iterator = Iterate(self);
  Value item;
  while (iterator->Next(runtime, &item)) {
    sum = Arithmetic(runtime, BinaryOp::kAdd, sum, getter ? (*getter)(runtime, item) : item);
  }
  return sum;
}

Value UniqueFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  const bool case_sensitive = bound[0] != nullptr && Truth(runtime, *bound[0]);
  const AttributeGetter getter(bound[1] != nullptr ? *bound[1] : Value::None());
  return Defer(runtime, [self, case_sensitive, getter](Runtime& later) {
    Dict* seen = later.NewDict();
    std::vector<Value> items;
    for (const Value& item : ItemsOf(later, self)) {
      Value key = getter(later, item);
      if (!case_sensitive) key = IgnoreCase(later, key);
      if (seen->Find(later, key) != nullptr) continue;
      seen->Set(later, key, Value::None());
      items.push_back(item);
    }
    return items;
  });
}

Value BatchFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = bound.IntOr(0, 0);
  const Value fill = bound[1] != nullptr ? *bound[1] : Value::None();
  return Defer(runtime, [self, size, fill](Runtime& later) {
    std::vector<Value> batches, batch;
    for (const Value& item : ItemsOf(later, self)) {
      if (static_cast<int64_t>(batch.size()) == size) {
        batches.push_back(later.NewList(std::exchange(batch, {})));
      }
      batch.push_back(item);
    }
    if (!batch.empty()) {
      if (!fill.IsNone() && static_cast<int64_t>(batch.size()) < size) {
        later.CheckTextBytes(static_cast<size_t>(size));
        batch.resize(static_cast<size_t>(size), fill);
      }
      batches.push_back(later.NewList(std::move(batch)));
    }
    return batches;
  });
}

Value SliceFilter(Runtime& runtime, const Value& self, Arguments& arguments) {
  const Bound bound("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t count = bound.IntOr(0, 0);
  const Value fill = bound[1] != nullptr ? *bound[1] : Value::None();
  return Defer(runtime, [self, count, fill](Runtime& later) {
    const std::vector<Value> items = ItemsOf(later, self);
    if (count == 0) Fail("integer division or modulo by zero");
    const auto length = static_cast<int64_t>(items.size());
    std::vector<Value> slices;
    auto at = items.begin();
    for (int64_t i = 0; i < count; ++i) {
      const bool extra = i < length % count;
      const auto end = at + length / count + (extra ? 1 : 0);
      std::vector<Value> slice(at, end);
      if (!fill.IsNone() && !extra) slice.push_back(fill);
      slices.push_back(later.NewList(std::move(slice)));
      at = end;
    }
    return slices;
  });
}

}  // namespace

Builtin FindSequenceFilter(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> sequence_filters = {
      {"batch", BatchFilter},     {"dictsort", DictSortFilter}, {"first", FirstFilter},
      {"groupby", GroupByFilter}, {"join", JoinFilter},         {"last", LastFilter},
      {"list", ListFilter},       {"max", ExtremeFilter<true>}, {"min", ExtremeFilter<false>},
      {"reverse", ReverseFilter}, {"slice", SliceFilter},       {"sort", SortFilter},
      {"sum", SumFilter},         {"unique", UniqueFilter},
  };
  const auto it = sequence_filters.find(name);
  return it != sequence_filters.end() ? it->second : nullptr;
}

}  // namespace sinter::text::jinja
