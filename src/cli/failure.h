// How the program says that it failed: a line of text, or with --json an object.
#pragma once

#include <exception>
#include <string>

namespace sinter::cli {

// Exit codes.
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;
inline constexpr int kOutputClosed = 141;  // 128 + SIGPIPE

// Reason why the program ends.
struct Failure {
  std::string area;     // as in Error::area(); "usage" for arguments, "signal" for a signal
  std::string message;  // without the area
  int code = kFailure;  // exit code
  // Whether newlines in the message separate its lines; elsewhere they are shown escaped.
  bool multi_line = false;
};
// Splits the "[area] message" of an Error or a BugError. Other exceptions get the area "cli".
Failure ToFailure(const std::exception& error);
// Returns the failure for an exit code of 128 and the number of a signal.
Failure SignalFailure(int code);

// Returns whether an argument before "--" is the flag --json. It also works for arguments that
// cannot be parsed.
bool AsksForJson(int argc, const char* const* argv);

// Returns the line `sinter: [area] message`, or with `json` the line {"error": {"area": ...,
// "message": ..., "code": ...}}. Without `json` a signal has no text, because the shell shows it.
std::string FailureText(const Failure& failure, bool json);

// Exception thrown when errors were printed already. The program then ends with kFailure.
struct ReportedError : std::exception {};

}  // namespace sinter::cli
