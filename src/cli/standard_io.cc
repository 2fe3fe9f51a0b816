#include "cli/standard_io.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "cli/status.h"

namespace sinter::cli {

std::atomic<bool> interrupted = false;
std::atomic<bool (*)(int)> signal_hook = nullptr;

namespace {

// Signal that made `interrupted` true, or 0.
std::atomic<int> caught = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use it");

// Pipe that the handler of signals writes to. It ends ReadMore's wait even if the signal comes just
// before poll().
int wakeup[2] = {-1, -1};

// Upper bound on the text that is taken at once; a million tokens have some 4 MB.
constexpr size_t kMaxInputBytes = size_t{256} << 20;

// Bytes read from standard input that no caller has taken yet.
std::string input;

// Appends the next bytes of standard input to `input`. Returns false at the input's end and when
// `interrupted`. Throws Error if it cannot be read, or if nobody takes kMaxInputBytes of it.
bool ReadMore() {
  const StatusPause pause;  // The user may be typing.
  while (!interrupted) {
    pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {wakeup[0], POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 || fds[0].revents == 0) continue;
    char buffer[4096];
    const ssize_t bytes = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) throw Error("cli", "standard input: got '{}', want text", std::strerror(errno));
    if (bytes == 0) return false;
    if (input.size() >= kMaxInputBytes)
      throw Error("cli", "standard input: got more than {} MiB, want text", kMaxInputBytes >> 20);
    input.append(buffer, static_cast<size_t>(bytes));
    return true;
  }
  return false;
}

struct sigaction SignalAction();

void HandleSignal(int signal) {
  const int saved = errno;
  if (bool (*const hook)(int) = signal_hook; hook != nullptr && hook(signal)) {
    const struct sigaction same = SignalAction();
    sigaction(signal, &same, nullptr);
  }
  caught = signal;
  interrupted = true;
  // The write wakes ReadMore, whichever thread got the signal. A full pipe has woken it already.
  [[maybe_unused]] const ssize_t written = write(wakeup[1], "", 1);
  errno = saved;
}

struct sigaction SignalAction() {
  struct sigaction action = {};
  action.sa_handler = HandleSignal;
  // The first signal of a kind also removes its handler, so the second one ends the process.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  return action;
}

}  // namespace

void ReserveStandardFiles() {
  // All three are opened read-only, so that writes fail as they would on a closed file.
  for (int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0;
       fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) {
    if (fd <= STDERR_FILENO) continue;
    close(fd);
    break;
  }
}

void CatchSignals() {
  interrupted = false;
  int only_stopped = SIGINT;
  caught.compare_exchange_strong(only_stopped, 0);
  // A signal that ends the program may have come after an earlier Ctrl-C.
  if (caught != 0) interrupted = true;
  if (wakeup[0] < 0 && pipe2(wakeup, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw Error("cli", "pipe: got '{}', want a pipe", std::strerror(errno));
  }
  for (char byte = 0; read(wakeup[0], &byte, 1) == 1;) {
  }
  // A file beyond the limit of `ulimit -f` is then an error of the write.
  signal(SIGXFSZ, SIG_IGN);
  const struct sigaction action = SignalAction();
  sigaction(SIGINT, &action, nullptr);
  if (interrupted) return;
  sigaction(SIGTERM, &action, nullptr);
  // nohup starts programs with SIGHUP ignored.
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void CheckInterrupted() {
  if (interrupted) throw Error("cli", "got a signal to end, want to go on: start again");
}

int WakeupFd() { return wakeup[0]; }

int InterruptedCode() { return 128 + caught; }

void Out(std::string_view text) {
  EraseStatusLine();
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return;
  if (errno == EPIPE) throw OutputClosed();
  throw Error("cli", "standard output: got '{}', want a place to write to", std::strerror(errno));
}

void OutJson(const nlohmann::json& json, int indent) {
  Out(json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Err(std::string_view text) noexcept {
  EraseStatusLine();
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

bool HasStandardInput() {
  if (input.empty()) ReadMore();
  CheckInterrupted();
  return !input.empty();
}

std::string ReadStandardInput() {
  while (ReadMore()) {
  }
  CheckInterrupted();
  return std::exchange(input, {});
}

std::optional<std::string> ReadLine() {
  size_t end = input.find('\n');
  while (end == std::string::npos) {
    const size_t searched = input.size();
    if (!ReadMore()) {
      if (interrupted || input.empty()) return std::nullopt;
      end = input.size();  // The last line may lack its newline.
      break;
    }
    end = input.find('\n', searched);
  }
  std::string line = input.substr(0, end);
  input.erase(0, end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace sinter::cli
