#include "text/pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <ctime>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "text/regex_syntax.h"
#include "text/utf8.h"

namespace sinter::text {
namespace {

// The longest pattern in use (o200k) has 400 bytes.
constexpr size_t kMaxPatternBytes = 16384;
// Upper bound on the bytes of a pattern in an error message.
constexpr size_t kMaxQuotedBytes = 600;
constexpr uint32_t kMaxParenthesesDepth = 64;
// Upper bound on the steps of one match. A match may try every length of a run of spaces, so the
// bound grows with the text.
constexpr uint32_t kMatchStepsBase = 1'000'000;
constexpr uint32_t kMatchStepsPerByte = 16;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackStartBytes = size_t{32} * 1024;
constexpr size_t kJitStackMaxBytes =
    size_t{16} * 1024 * 1024;  // mapped; pages are touched only when needed
// Limits on the processor time of the thread, which does not depend on how busy the machine is.
// Ordinary patterns process 10 MB/s even without JIT, so the limits leave a wide margin.
constexpr int64_t kTimeBaseNs = 2'000'000'000;
constexpr int64_t kTimePerByteNs = 2'000;

std::string Quoted(std::string_view pattern) { return Excerpt(pattern, kMaxQuotedBytes); }

int64_t ThreadTimeNs() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::string Pcre2Message(int error) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(error, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

// Memory that matching needs besides the code. There is one per thread, because creating it costs
// more than a short match.
class MatchScratch {
 public:
  MatchScratch()
      : data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        jit_stack_(pcre2_jit_stack_create(kJitStackStartBytes, kJitStackMaxBytes, nullptr)) {
    // The JIT stack may be null, as it is without JIT: PCRE2 then uses its default.
    if (data_ == nullptr || context_ == nullptr) {
      Free();
      throw std::bad_alloc();
    }
    pcre2_set_heap_limit(context_, kHeapLimitKib);
    pcre2_jit_stack_assign(context_, nullptr, jit_stack_);
  }
  ~MatchScratch() { Free(); }
  MatchScratch(const MatchScratch&) = delete;
  MatchScratch& operator=(const MatchScratch&) = delete;

  pcre2_match_data* data() { return data_; }
  pcre2_match_context* context() { return context_; }

 private:
  void Free() {
    pcre2_match_data_free(data_);
    pcre2_match_context_free(context_);
    pcre2_jit_stack_free(jit_stack_);
  }
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* jit_stack_;
};

size_t CharacterLength(std::string_view text, size_t pos) {
  const size_t begin = pos;
  NextCodePoint(text, &pos);
  return pos - begin;
}

// Calls `on_match` for all matches in order, as Oniguruma's Rust binding iterates: an empty match
// directly after a match does not count.
template <typename OnMatch>
void ForEachMatch(const pcre2_code* code, const std::string& source, std::string_view text,
                  const OnMatch& on_match) {
  thread_local MatchScratch scratch;
  const auto steps = kMatchStepsBase + uint64_t{kMatchStepsPerByte} * text.size();
  pcre2_set_match_limit(scratch.context(),
                        static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int64_t deadline =
      ThreadTimeNs() + kTimeBaseNs + kTimePerByteNs * static_cast<int64_t>(text.size());
  size_t position = 0;
  size_t last_end = std::string_view::npos;
  uint32_t extra_options = 0;
  for (int count = 1; position <= text.size(); ++count) {
    int rc = pcre2_match(code, subject, text.size(), position, PCRE2_NO_UTF_CHECK | extra_options,
                         scratch.data(), scratch.context());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      extra_options = PCRE2_NO_JIT;  // The interpreter backtracks on the heap.
      rc = pcre2_match(code, subject, text.size(), position, PCRE2_NO_UTF_CHECK | extra_options,
                       scratch.data(), scratch.context());
    }
    if (rc == PCRE2_ERROR_NOMATCH) return;
    if (rc < 0) {
      throw Error("tokenizer", "pattern \"{}\" on {} bytes of text: {}", Quoted(source),
                  text.size(), Pcre2Message(rc));
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(scratch.data());
    const size_t begin = ends[0];
    const size_t end = ends[1];
    // A \K that a lookahead reaches through a subroutine moves the beginning of a match after its
    // end.
    if (begin > end || begin < position) {
      throw Error("tokenizer", "pattern \"{}\": got a match that begins after its end, want no \\K",
                  Quoted(source));
    }
    if (begin == end && end == last_end) {
      position += position < text.size() ? CharacterLength(text, position) : 1;
      continue;
    }
    on_match(begin, end);
    position = end;
    last_end = end;
    if (count % 64 == 0 && ThreadTimeNs() > deadline) {
      throw Error("tokenizer",
                  "pattern \"{}\" on {} bytes of text: got no end within the time limit",
                  Quoted(source), text.size());
    }
  }
}

}  // namespace

Pattern Pattern::Literal(std::string literal) { return Pattern(std::move(literal)); }

Pattern Pattern::Regex(std::string_view expression) {
  if (expression.size() > kMaxPatternBytes) {
    throw Error("tokenizer", "pattern: got {} bytes, want at most {}", expression.size(),
                kMaxPatternBytes);
  }
  Pattern pattern{std::string(expression)};
  const std::string translated = OnigurumaToPcre2(expression);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_parens_nest_limit(context.get(), kMaxParenthesesDepth);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Sets MULTILINE because in Oniguruma ^ and $ always match at the beginnings and ends of lines.
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get());
  if (code == nullptr) {
    throw Error("tokenizer", "pattern \"{}\": {} (at byte {} of its PCRE2 form \"{}\")",
                Quoted(expression), Pcre2Message(error), offset, Quoted(translated));
  }
  pattern.code_.reset(code, [](pcre2_code* p) { pcre2_code_free(p); });
  // If there is no JIT, or none for this pattern, pcre2_match interprets.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return pattern;
}

Pattern Pattern::FromJson(const Json& object, const char* key, std::string_view component) {
  const Json& field = RequireField(object, key, component);
  // Early files contain the bare string.
  if (field.is_string()) return Literal(field.get<std::string>());
  if (const auto literal = OptionalString(field, "String", component)) return Literal(*literal);
  if (const auto expression = OptionalString(field, "Regex", component)) return Regex(*expression);
  throw Error("tokenizer",
              "{}: field \"{}\": got {}, want {{\"String\": ...}} or {{\"Regex\": ...}}", component,
              key, field.type_name());
}

std::vector<Segment> Pattern::FindSegments(std::string_view text) const {
  std::vector<Segment> segments;
  size_t last = 0;
  const auto on_match = [&](size_t begin, size_t end) {
    if (begin > last) segments.push_back({last, begin, false});
    segments.push_back({begin, end, true});
    last = end;
  };
  if (code_) {
    ForEachMatch(static_cast<const pcre2_code*>(code_.get()), source_, text, on_match);
  } else if (!source_.empty()) {
    for (size_t at = text.find(source_); at != std::string_view::npos;
         at = text.find(source_, last)) {
      on_match(at, at + source_.size());
    }
  }
  if (last < text.size()) segments.push_back({last, text.size(), false});
  return segments;
}

std::string Pattern::Replace(std::string_view text, std::string_view content,
                             size_t max_bytes) const {
  std::string out;
  out.reserve(text.size());
  for (const Segment& segment : FindSegments(text)) {
    out += segment.is_match ? content : text.substr(segment.begin, segment.end - segment.begin);
    if (out.size() > max_bytes) {
      throw Error("tokenizer",
                  "Replace of \"{}\": got more than {} bytes from {}, want a replacement that "
                  "grows the text less",
                  Quoted(source_), max_bytes, text.size());
    }
  }
  return out;
}

}  // namespace sinter::text
