// Jinja's global functions, and those that transformers adds.
#include <ctime>
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/python_text.h"
#include "text/jinja/template_error.h"
#include "text/jinja/text_functions.h"
#include "text/utf8.h"

namespace sinter::text::jinja {
namespace {

Value RangeFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  const Bound bound("range", arguments, {"/start", "/stop", "/step"}, 1);
  const int64_t first = bound.IntOr(0, 0);
  const bool single = bound[1] == nullptr;
  const int64_t step = bound.IntOr(2, 1);
  if (step == 0) Fail("range() arg 3 must not be zero");
  return Value::OfObject(
      runtime.New<RangeObject>(single ? 0 : first, single ? first : bound.IntOr(1, 0), step));
}

// Python's dict(mapping or pairs, **names).
Dict* MakeDict(Runtime& runtime, std::string_view function, Arguments& arguments) {
  Dict* dict = runtime.NewDict();
  if (arguments.positional.size() > 1) {
    Fail("{} expected at most 1 argument, got {}", function, arguments.positional.size());
  }
  for (const Value& source : arguments.positional) {
    if (source.IsDict()) {
      for (const auto& [key, value] : source.dict().entries()) dict->Set(runtime, key, value);
      continue;
    }
    for (const Value& pair : ItemsOf(runtime, source)) {
      const std::vector<Value> parts = ItemsOf(runtime, pair);
      if (parts.size() != 2) {
        Fail("{}: want pairs of key and value, got {} values", function, parts.size());
      }
      dict->Set(runtime, parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.keyword) {
    dict->Set(runtime, Value::String(name), value);
  }
  return dict;
}

Value DictFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  return Value::OfDict(MakeDict(runtime, "dict", arguments));
}

Value NamespaceFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  return Value::OfObject(runtime.New<NamespaceObject>(MakeDict(runtime, "namespace", arguments)));
}

Value CyclerFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  if (!arguments.keyword.empty()) Fail("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) Fail("at least one item has to be provided");
  return Value::OfObject(runtime.New<CyclerObject>(std::move(arguments.positional)));
}

Value JoinerFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  const Bound bound("joiner", arguments, {"sep"});
  return Value::OfObject(
      runtime.New<JoinerObject>(bound[0] != nullptr ? *bound[0] : Value::String(", ")));
}

Value LipsumFunction(Runtime&, const Value&, Arguments&) {
  Fail("lipsum() gives random text, which no prompt can want; it is not supported");
}

Value RaiseExceptionFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  throw TemplateError(StrOf(runtime, *bound[0]));
}

Value StrftimeNowFunction(Runtime& runtime, const Value&, Arguments& arguments) {
  const Bound bound("strftime_now", arguments, {"format"}, 1);
  std::string format = bound.String(0);
  if (format.find('\0') != std::string::npos) Fail("strftime_now: embedded null character");
  const auto since_epoch = runtime.now().time_since_epoch();
  const auto microseconds =
      std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(runtime.now());
  // The C library knows neither %f nor that a time without a zone has no %z.
  format = Replace(runtime, format, "%%", std::string_view("\0", 1), -1);
  format = Replace(runtime, format, "%f", fmt::format("{:06}", microseconds % 1'000'000), -1);
  for (const std::string_view zone : {"%z", "%Z", "%:z"}) {
    format = Replace(runtime, format, zone, "", -1);
  }
  format = Replace(runtime, format, std::string_view("\0", 1), "%%", -1);
  if (format.empty()) return Value::String("");
  std::tm local = {};
  localtime_r(&seconds, &local);
  // A space in front tells an empty result from one that is too long.
  format.insert(format.begin(), ' ');
  std::string text(format.size() * 16 + 256, '\0');
  const size_t length = std::strftime(text.data(), text.size(), format.c_str(), &local);
  if (length == 0)
    Fail("strftime_now: the format '{}' is too long",
         ShortText(std::string_view(format).substr(1)));
  return runtime.NewString(SanitizeUtf8(text.substr(1, length - 1)));
}

}  // namespace

Builtin FindFunction(std::string_view name) {
  static const std::unordered_map<std::string_view, Builtin> all_functions = {
      {"cycler", CyclerFunction},       {"dict", DictFunction},
      {"joiner", JoinerFunction},       {"lipsum", LipsumFunction},
      {"namespace", NamespaceFunction}, {"raise_exception", RaiseExceptionFunction},
      {"range", RangeFunction},         {"strftime_now", StrftimeNowFunction},
  };
  const auto it = all_functions.find(name);
  return it != all_functions.end() ? it->second : nullptr;
}

}  // namespace sinter::text::jinja
