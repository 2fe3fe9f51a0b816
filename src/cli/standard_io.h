// Standard input, output and error, and the signals that end a wait for them.
#pragma once

#include <atomic>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sinter::cli {

// Opens /dev/null for each of standard input, output and error that is closed, so that no other
// file gets its number.
void ReserveStandardFiles();

// Set by the first Ctrl-C (SIGINT), SIGTERM or SIGHUP. The second one ends the process at once.
extern std::atomic<bool> interrupted;
// Installs the handler of these signals, or installs it again after a Ctrl-C that only stopped an
// answer; `interrupted` then stays set if one of the others came. Writing to a closed pipe becomes
// an error instead of a signal.
void CatchSignals();
// Function that the handler calls before anything else with the signal's number, or null. It may
// only do what a signal handler may. It returns whether the handler stays: otherwise the next
// signal of this kind ends the process.
extern std::atomic<bool (*)(int)> signal_hook;
// Returns a descriptor that is readable once the handler has run, until the next CatchSignals().
int WakeupFd();
// Throws Error if `interrupted`.
void CheckInterrupted();
// Returns the exit code that tells the signal: 130, 143 or 129.
int InterruptedCode();

// Exception thrown when nobody reads standard output any more, as in `sinter ... | head -1`. The
// program then ends without a message.
struct OutputClosed : std::exception {};

// Writes to standard output and flushes it. Throws OutputClosed, or Error if the text cannot be
// written.
void Out(std::string_view text);
// Writes JSON and a newline as Out does. Ill-formed UTF-8 becomes replacement characters. `indent`
// -1 writes one line.
void OutJson(const nlohmann::json& json, int indent = 2);
// Writes to standard error and ignores failures.
void Err(std::string_view text) noexcept;

// Waits for standard input and returns whether there is any.
bool HasStandardInput();
// Returns all of standard input. Throws Error if `interrupted`.
std::string ReadStandardInput();
// Returns the next line of standard input without its end, LF or CR LF; nullopt at the input's end
// and when `interrupted`.
std::optional<std::string> ReadLine();

}  // namespace sinter::cli
