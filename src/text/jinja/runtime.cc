#include "text/jinja/runtime.h"

#include "text/jinja/template_error.h"

namespace sinter::text::jinja {

void Runtime::Spend(int64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps) {
    Fail("the template does not come to an end within {} steps", limits_.steps);
  }
}

void Runtime::CheckTextBytes(size_t bytes) const {
  if (bytes > limits_.text_bytes) {
    Fail("the text grows too long: got {} bytes, want at most {}", bytes, limits_.text_bytes);
  }
}

void Runtime::CountHeap(size_t bytes) {
  heap_bytes_ += bytes;
  if (heap_bytes_ > limits_.heap_bytes) {
    Fail("the template takes too much memory, more than {} bytes", limits_.heap_bytes);
  }
}

Value Runtime::NewString(std::string utf8) {
  SpendBytes(utf8.size());
  CheckTextBytes(utf8.size());
  return Value::String(std::move(utf8));
}

Value Runtime::NewBigInt(std::string digits) {
  constexpr size_t kMaxDigits = 4300;
  if (digits.size() > kMaxDigits) {
    Fail("the integer is too long: got {} digits, want at most {}", digits.size(), kMaxDigits);
  }
  return Value::BigInt(std::move(digits));
}

Sequence* Runtime::NewSequence(std::vector<Value> items) {
  // Strings are counted as their bytes here, too: a list keeps them alive until the end.
  size_t bytes = items.size() * sizeof(Value);
  for (const Value& item : items) bytes += item.IsString() ? item.string().size() : 0;
  Spend(static_cast<int64_t>(items.size()));
  CountHeap(bytes);
  return New<Sequence>(std::move(items));
}

DepthScope::DepthScope(Runtime& runtime) : runtime_(runtime) {
  if (runtime_.depth_ >= runtime_.limits_.depth) {
    Fail("the template nests or recurses too deep, more than {} levels", runtime_.limits_.depth);
  }
  ++runtime_.depth_;
}

void TextBuilder::Append(std::string_view text) {
  runtime_.CheckTextBytes(text_.size() + text.size());
  runtime_.SpendBytes(text.size());
  text_ += text;
}

void TextBuilder::Append(size_t count, char c) { Append(count, std::string_view(&c, 1)); }

void TextBuilder::Append(size_t count, std::string_view text) {
  if (text.empty() || count == 0) return;
  runtime_.CheckTextBytes(count);  // so that the product below cannot overflow
  runtime_.CheckTextBytes(text_.size() + count * text.size());
  runtime_.SpendBytes(count * text.size());
  text_.reserve(text_.size() + count * text.size());
  for (size_t i = 0; i < count; ++i) text_ += text;
}

}  // namespace sinter::text::jinja
