#include "cli/run_batch.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/failure.h"
#include "cli/figures.h"
#include "cli/load.h"
#include "cli/prompt_lines.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "cli/status_text.h"
#include "cli/usage.h"
#include "cli/user_file.h"
#include "generate/text_engine.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::cli {
namespace {

using AnswerJson = nlohmann::ordered_json;
using BatchTime = std::chrono::steady_clock;

constexpr uint64_t kMostBatchBytes = uint64_t{1} << 30;
// Time between two looks at the answers under way.
constexpr std::chrono::milliseconds kLook{2};

double SecondsSinceStart(BatchTime::time_point start) {
  return std::chrono::duration<double>(BatchTime::now() - start).count();
}

// Place of the answers: a file, or standard output.
class AnswerOutput {
 public:
  // Opens the file, and reads the answers that are there already with `resume`. Throws Error if the
  // file has contents without `resume`, or if another process writes to it.
  AnswerOutput(const std::string& file, bool resume) : file_(file) {
    if (file.empty()) return;
    const std::filesystem::path path = UserPath(file);
    fd_ = FileDescriptor(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (fd_.get() < 0) FailBecause(errno, "a file that can be written");
    if (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      Fail("a file that another process writes to", "one of its own for each");
    struct stat info = {};
    if (fstat(fd_.get(), &info) != 0) FailBecause(errno, "a file");
    if (!S_ISREG(info.st_mode)) {
      if (resume) Fail("a special file", "one that earlier answers can be read from");
      return;
    }
    if (info.st_size == 0) return;
    if (!resume)
      Fail("a file that is not empty", "a new one, or --resume to go on with its answers");
    const std::string text =
        ReadSmallFile(path, "cli", "the answers of an earlier run", kMostBatchBytes);
    EarlierAnswers earlier = ReadAnswers(text, file);
    for (std::string& id : earlier.answered) answered_.insert(std::move(id));
    if (earlier.whole_bytes < text.size() &&
        ftruncate(fd_.get(), static_cast<off_t>(earlier.whole_bytes)) != 0)
      FailBecause(errno, "a file whose last line can be removed");
  }

  // Returns whether there is an answer to the line of this id.
  bool HasAnswer(const AnswerJson& id) const {
    return !id.is_null() && answered_.contains(id.dump());
  }
  void Write(const AnswerJson& json) {
    std::string line = json.dump(-1, ' ', false, AnswerJson::error_handler_t::replace) + "\n";
    if (file_.empty()) return Out(line);
    for (std::string_view rest = line; !rest.empty();) {
      const ssize_t bytes = write(fd_.get(), rest.data(), rest.size());
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0) FailBecause(errno, "room for another answer");
      rest.remove_prefix(static_cast<size_t>(bytes));
    }
  }

 private:
  [[noreturn]] void Fail(std::string_view got, std::string_view want) const {
    throw Error("cli", "{}: got {}, want {}", file_, got, want);
  }
  [[noreturn]] void FailBecause(int error, std::string_view want) const {
    Fail(fmt::format("'{}'", std::strerror(error)), want);
  }

  std::string file_;
  FileDescriptor fd_;
  std::set<std::string> answered_;
};

// Figures that the status line reads from another thread.
struct BatchFigures {
  std::atomic<int64_t> done = 0, failed = 0, tokens = 0;
};

// State that all lines of a run share.
class BatchRun {
 public:
  BatchRun(const RunBatchArgs& args, const model::GenaiConfig& config)
      : args_(args),
        config_(config),
        base_(ToOptions(args.generate, config)),
        template_options_(ReadTemplateInput(args.messages, Content::kText).options),
        tokenizer_(
            text::Tokenizer::FromFile(std::filesystem::path(args.model.model) / "tokenizer.json")) {
    if (!args.raw) template_ = text::ChatTemplate::FromFolder(args.model.model);
    if (!args.system.empty() && !template_) RequireTemplate(args.model.model, "--system needs it");
  }

  // Reads the lines, and checks them as far as that takes no GPU.
  void ReadLines(const AnswerOutput& output) {
    const std::string text =
        args_.file == "-"
            ? ReadStandardInput()
            : ReadSmallFile(UserPath(args_.file), "cli", "a file of prompts", kMostBatchBytes);
    CheckInterrupted();
    lines_ = ReadPromptLines(text);
    const std::string name = args_.file == "-" ? "standard input" : args_.file;
    if (lines_.empty()) throw Error("cli", "{}: got no prompts, want one in each line", name);
    for (PromptLine& line : lines_) {
      if (line.failure) continue;
      if (args_.resume && line.id.is_null()) {
        throw Error("cli", "{}: line {}: got no id, want one in each line with --resume", name,
                    line.number);
      }
      try {
        requests_.emplace(line.number, MakeRequest(line));
      } catch (const Error& error) {
        line.failure = ToFailure(error);
      }
    }
    all_ = lines_.size();
    std::erase_if(
        lines_, [&](const PromptLine& line) { return !line.failure && output.HasAnswer(line.id); });
  }
  size_t all_lines() const { return all_; }
  const std::vector<PromptLine>& lines() const { return lines_; }
  // Returns the number of lines that can be sent to an engine.
  int64_t good_lines() const {
    return std::ranges::count_if(lines_, [](const PromptLine& line) { return !line.failure; });
  }
  // Returns whether the lines have ids, by which a later run knows them.
  bool HaveIds() const {
    return std::ranges::none_of(
        lines_, [](const PromptLine& line) { return !line.failure && line.id.is_null(); });
  }
  // Returns whether every request says how long its answer may be.
  bool HaveBounds() const {
    return std::ranges::all_of(
        requests_, [](const auto& each) { return each.second.options.max_new_tokens > 0; });
  }

  // Answers the lines.
  void Answer(std::unique_ptr<engine::Engine> engine, AnswerOutput& output, BatchFigures& figures);
  void Summarize(const LoadedEngine& loaded, const std::string& device,
                 const BatchFigures& figures) const;

 private:
  struct Running {
    const PromptLine* line = nullptr;
    std::unique_ptr<generate::AnswerStream> stream;
    std::string text;
    std::optional<uint32_t> seed;
  };

  generate::TextRequest MakeRequest(const PromptLine& line) const;
  AnswerJson Beginning(const PromptLine& line) const {
    return {{"id", line.id}, {"line", line.number}};
  }
  // Takes what has come of an answer. Returns whether it has ended.
  bool Look(Running& running);
  void Finish(const PromptLine& line, AnswerJson json);
  void FinishWithError(const PromptLine& line, const Failure& failure);

  const RunBatchArgs& args_;
  const model::GenaiConfig& config_;
  generate::GenerateOptions base_;
  text::ChatTemplateOptions template_options_;
  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> template_;
  std::vector<PromptLine> lines_;
  size_t all_ = 0;
  std::map<int64_t, generate::TextRequest> requests_;  // by the number of the line

  AnswerOutput* output_ = nullptr;
  BatchFigures* figures_ = nullptr;
  std::map<int64_t, AnswerJson> held_;  // answers that wait for those of earlier lines
  size_t next_in_order_ = 0;            // index of the line whose answer is written next
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0;
  double seconds_ = 0;
};

generate::TextRequest BatchRun::MakeRequest(const PromptLine& line) const {
  const std::string place = fmt::format("line {}", line.number);
  generate::TextRequest request;
  request.template_options = template_options_;
  for (const auto& [name, value] : line.arguments) request.template_options.arguments[name] = value;
  if (!line.tools.is_null()) request.template_options.tools_json = CheckedTools(line.tools, place);
  request.tokens = line.tokens;
  if (line.messages.is_array()) {
    request.messages = CheckedMessages(line.messages, place);
    if (!template_) {
      throw Error("cli", "{}: messages: got some for a model without {}, want a prompt", place,
                  args_.raw ? "one, as --raw says" : "a chat template");
    }
  } else if (line.prompt && template_ && !line.raw) {
    const std::string& system = line.system ? *line.system : args_.system;
    if (!system.empty()) request.messages.push_back(generate::MakeMessage("system", system));
    request.messages.push_back(generate::MakeMessage("user", *line.prompt));
  } else {
    if (line.system)
      throw Error("cli", "{}: system: got one for a prompt without a chat template, want none",
                  place);
    request.prompt = line.prompt;
  }
  generate::GenerateOptions& options = request.options;
  options = base_;
  // Equal prompts get different answers where tokens are drawn.
  options.seed = base_.seed + static_cast<uint32_t>(line.number - 1);
  if (line.seed) options.seed = *line.seed;
  if (line.temperature) {
    options.do_sample.reset();
    options.temperature = line.temperature;
  }
  if (line.top_p) options.top_p = line.top_p;
  if (line.min_p) options.min_p = line.min_p;
  if (line.top_k) options.top_k = line.top_k;
  if (line.repetition_penalty) options.repetition_penalty = line.repetition_penalty;
  if (line.max_tokens) options.max_new_tokens = *line.max_tokens;
  if (line.stop) options.stop = *line.stop;
  request.more.min_tokens = line.min_tokens.value_or(0);
  request.more.presence_penalty = static_cast<float>(line.presence_penalty);
  request.more.frequency_penalty = static_cast<float>(line.frequency_penalty);
  for (const auto& [token, bias] : line.logit_bias)
    request.more.logit_bias.push_back({token, bias});
  return request;
}

void BatchRun::Finish(const PromptLine& line, AnswerJson json) {
  if (!args_.in_order) {
    output_->Write(json);
  } else {
    held_.emplace(line.number, std::move(json));
    for (; next_in_order_ < lines_.size(); ++next_in_order_) {
      const auto it = held_.find(lines_[next_in_order_].number);
      if (it == held_.end()) break;
      output_->Write(it->second);
      held_.erase(it);
    }
  }
  ++figures_->done;
}

void BatchRun::FinishWithError(const PromptLine& line, const Failure& failure) {
  // Whoever has the answers in a file learns from the terminal what is wrong with it.
  constexpr int64_t kShown = 5;
  if (!args_.model.quiet && !args_.output.empty() && figures_->failed < kShown) {
    const std::string place = fmt::format("line {}", line.number);
    Failure shown = failure;
    if (!shown.message.starts_with(place)) shown.message = place + ": " + shown.message;
    Err(FailureText(shown, false));
  }
  ++figures_->failed;
  AnswerJson json = Beginning(line);
  json["error"] = {{"area", failure.area}, {"message", failure.message}};
  Finish(line, std::move(json));
}

bool BatchRun::Look(Running& running) {
  // Only the answer's own errors are the line's: one of writing ends the run.
  std::optional<generate::TextEvent> event;
  std::optional<Failure> failure;
  try {
    event = running.stream->Next(std::chrono::nanoseconds(0));
  } catch (const DeviceLostError&) {
    throw;  // for good: no further line can be answered
  } catch (const Error& error) {
    failure = ToFailure(error);
  }
  if (failure) {
    FinishWithError(*running.line, *failure);
    return true;
  }
  if (!event) return false;
  running.text += event->text;
  figures_->tokens += std::ssize(event->tokens);
  if (!event->finish) return false;
  prompt_tokens_ += event->usage.prompt_tokens;
  cached_tokens_ += event->usage.cached_tokens;
  AnswerJson json = Beginning(*running.line);
  json["text"] = running.text;
  json["finish_reason"] = generate::FinishReasonName(*event->finish);
  json["seed"] = running.seed ? AnswerJson(*running.seed) : AnswerJson();
  json["usage"] = {{"prompt_tokens", event->usage.prompt_tokens},
                   {"cached_tokens", event->usage.cached_tokens},
                   {"completion_tokens", event->usage.generated_tokens}};
  Finish(*running.line, std::move(json));
  return true;
}

void BatchRun::Answer(std::unique_ptr<engine::Engine> engine, AnswerOutput& output,
                      BatchFigures& figures) {
  output_ = &output;
  figures_ = &figures;
  const BatchTime::time_point start = BatchTime::now();
  std::optional<generate::TextEngine> texts;
  size_t most = 0;
  if (engine != nullptr) {
    // As many wait as run, so that the engine never has to wait for this thread.
    most = 2 * static_cast<size_t>(engine->options().max_batch);
    texts.emplace(std::move(engine), tokenizer_, template_);
  }
  std::vector<Running> running;
  size_t next = 0;
  while (!interrupted && (next < lines_.size() || !running.empty())) {
    while (next < lines_.size() && (running.size() < most || lines_[next].failure)) {
      const PromptLine& line = lines_[next++];
      if (line.failure) {
        FinishWithError(line, *line.failure);
        continue;
      }
      try {
        auto request = requests_.extract(line.number);
        const generate::GenerateOptions& options = request.mapped().options;
        std::optional<uint32_t> seed;
        if (!generate::ChooseBy(config_, options).greedy) seed = options.seed;
        running.push_back({&line, texts->Submit(std::move(request.mapped())), "", seed});
      } catch (const DeviceLostError&) {
        throw;
      } catch (const Error& error) {
        FinishWithError(line, ToFailure(error));
      }
    }
    const size_t before = running.size();
    std::erase_if(running, [this](Running& each) { return Look(each); });
    if (running.size() == before) std::this_thread::sleep_for(kLook);
  }
  seconds_ = SecondsSinceStart(start);
}

void BatchRun::Summarize(const LoadedEngine& loaded, const std::string& device,
                         const BatchFigures& figures) const {
  const std::string cached =
      cached_tokens_ == 0 ? "" : fmt::format(" ({} of them cached)", cached_tokens_);
  const auto tokens = static_cast<double>(figures.tokens);
  Err(
      fmt::format("[{}: load {:.2f} s; {}{} in {:.2f} s; prompts {}{}; answers {}, {:.1f} "
                  "tokens/s]\n",
                  device, loaded.seconds, CountText(figures.done - figures.failed, "answer"),
                  figures.failed == 0 ? "" : fmt::format(", {} failed", figures.failed.load()),
                  seconds_, CountText(prompt_tokens_, "token"), cached,
                  CountText(figures.tokens, "token"), seconds_ > 0 ? tokens / seconds_ : 0));
}

// Returns the options of an engine for so many requests.
engine::EngineOptions EngineFor(const RunBatchArgs& args, const engine::Model& model,
                                int64_t requests) {
  engine::EngineOptions options;
  options.deterministic = args.deterministic;
  // A deterministic answer depends on the number of rows.
  options.max_batch = args.deterministic ? args.parallel : std::min(args.parallel, requests);
  options.queue = 4 * options.max_batch;
  options.max_length = MaxLength(args.model, model.config());
  options.kv_tokens = args.kv_tokens;
  if (args.kv_tokens > 0 && args.kv_tokens < options.max_length) {
    throw UsageError(
        "--kv-tokens: got {}, want at least {}, the most tokens of a line (--max-length)",
        args.kv_tokens, options.max_length);
  }
  if (args.kv_tokens > 0) return options;
  constexpr int64_t kUsualTokens = 65536;
  if (options.max_length > kUsualTokens) {
    options.kv_tokens = options.max_length;
  } else if (model.device()->adapter().software) {
    // Main memory is there for others, too, and an allocation that is too large may not fail.
    options.kv_tokens = std::min(options.max_batch * options.max_length, kUsualTokens);
  }
  return options;
}

}  // namespace

void RunBatch(const RunBatchArgs& args) {
  Opening device(args.model);
  model::ModelFolder folder = ReadModel(args.model);
  const model::GenaiConfig config = folder.config;
  BatchRun run(args, config);
  AnswerOutput output(args.output, args.resume);
  run.ReadLines(output);
  const size_t earlier = run.all_lines() - run.lines().size();
  if (earlier > 0 && !args.model.quiet)
    Err(fmt::format("sinter: {} of {} lines have answers already\n", earlier, run.all_lines()));
  LoadedEngine loaded;
  std::string device_name;
  if (run.good_lines() > 0) {
    loaded = LoadEngine(
        args.model, std::move(folder), std::move(device),
        [&](const engine::Model& model) { return EngineFor(args, model, run.good_lines()); });
    device_name = (*loaded.model)->device()->adapter().name;
    const int64_t together =
        loaded.engine->options().kv_tokens / loaded.engine->options().max_length;
    if (!run.HaveBounds() && together < loaded.engine->options().max_batch && !args.model.quiet) {
      Err(fmt::format(
          "sinter: note: room for {} at a time, because answers may have up to {} tokens; "
          "-n N bounds them, --kv-tokens N gives more room\n",
          CountText(together, "line"), loaded.engine->options().max_length));
    }
  } else {
    device.End();
  }
  BatchFigures figures;
  {
    const auto total = static_cast<int64_t>(run.lines().size());
    const bool shown = !args.model.quiet && isatty(STDERR_FILENO) != 0;
    const StatusLine status(
        [&figures, total, shown, begin = BatchTime::now()](size_t columns) {
          if (!shown) return std::string();
          if (interrupted) return FitColumns("stopping...", columns);
          const double seconds = SecondsSinceStart(begin);
          AnswersProgress progress{.done = figures.done, .total = total, .failed = figures.failed};
          progress.tokens_per_second = static_cast<double>(figures.tokens) / seconds;
          constexpr int64_t kEnough = 8;
          if (progress.done >= kEnough) {
            progress.seconds_left = seconds * static_cast<double>(total - progress.done) /
                                    static_cast<double>(progress.done);
          }
          return AnswersText(progress, columns);
        },
        {.on_signal = OnSignal::kGoOn, .quiet = std::chrono::milliseconds(250)});
    run.Answer(std::move(loaded.engine), output, figures);
  }
  if (interrupted) {
    Err(fmt::format(
        "sinter: stopped after {} of {} lines{}\n", earlier + figures.done, run.all_lines(),
        args.output.empty() || !run.HaveIds() ? "" : "; the same command with --resume goes on"));
  } else if (!args.model.quiet && !args.model.json && loaded.model) {
    run.Summarize(loaded, device_name, figures);
  }
  if (loaded.model) {
    Loaded model;
    model.model = *loaded.model;
    Leave(std::move(model));
  }
  // After a signal, that is what the command ends with.
  if (figures.failed > 0 && !interrupted) throw ReportedError();
}

}  // namespace sinter::cli
