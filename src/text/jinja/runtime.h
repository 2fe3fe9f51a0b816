// The memory and the budget of one rendering. A template comes with a model, from anybody: it may
// neither hang nor exhaust memory or stack.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace sinter::text::jinja {

// Upper bounds on what a rendering may use. Published templates take about 100 steps and a depth of
// 10 to 30 for a message.
struct Limits {
  // Nodes evaluated, items visited, and 16 bytes of text read or written: one step each. All of
  // them take a few seconds.
  int64_t steps = 100'000'000;
  // Nested evaluations, calls and values. A level takes at most 1 KiB of stack, with sanitizers 4.
  int depth = 800;
  // Bytes of one string, and so of the output.
  size_t text_bytes = size_t{64} << 20;
  // Bytes of all values that are kept until the rendering ends.
  size_t heap_bytes = size_t{512} << 20;
};

class Runtime {
 public:
  using Time = std::chrono::system_clock::time_point;

  explicit Runtime(Time now, const Limits& limits = {}) : limits_(limits), now_(now) {}

  // Time that strftime_now() formats.
  Time now() const { return now_; }

  // Counts steps. Throws TemplateError if the budget is used up.
  void Spend(int64_t steps = 1);
  // Counts the steps of reading or writing `bytes` of text.
  void SpendBytes(size_t bytes) { Spend(static_cast<int64_t>(bytes / 16) + 1); }
  // Throws TemplateError if a string of this many bytes would be too long.
  void CheckTextBytes(size_t bytes) const;

  Value NewString(std::string utf8);
  // Makes an integer beyond 64 bits. Like Python it must not have more than 4,300 digits.
  Value NewBigInt(std::string digits);
  Value NewList(std::vector<Value> items) { return Value::List(NewSequence(std::move(items))); }
  Value NewTuple(std::vector<Value> items) { return Value::Tuple(NewSequence(std::move(items))); }
  // Returns an empty dict to fill in.
  Dict* NewDict() { return New<Dict>(); }

  // Makes an object that lives as long as the runtime.
  template <typename T, typename... Args>
  T* New(Args&&... args) {
    CountHeap(sizeof(T));
    auto item = std::make_unique<T>(std::forward<Args>(args)...);
    T* result = item.get();
    heap_.push_back(std::move(item));
    return result;
  }

  // Counts bytes of values that are kept. Throws TemplateError if the budget is used up.
  void CountHeap(size_t bytes);

 private:
  friend class DepthScope;

  Sequence* NewSequence(std::vector<Value> items);

  Limits limits_;
  Time now_;
  int64_t steps_ = 0;
  int depth_ = 0;
  size_t heap_bytes_ = 0;
  std::vector<std::unique_ptr<HeapItem>> heap_;
};

// One level of nesting for as long as the scope lives. Throws TemplateError if it is one too many.
class DepthScope {
 public:
  explicit DepthScope(Runtime& runtime);
  ~DepthScope() { --runtime_.depth_; }
  DepthScope(const DepthScope&) = delete;
  DepthScope& operator=(const DepthScope&) = delete;

 private:
  Runtime& runtime_;
};

// Text under construction. Every byte counts as a step's part, and the length is bounded, so that
// no function that builds a text needs a bound of its own.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : runtime_(runtime) {}

  void Append(std::string_view text);
  void Append(size_t count, char c);
  void Append(size_t count, std::string_view text);

  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  Runtime& runtime_;
  std::string text_;
};

}  // namespace sinter::text::jinja
