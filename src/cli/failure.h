// How the program says that it failed: a line of text, or with --json an object.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/common.h"

namespace sinter::cli {

// What ended the program.
struct Failure {
  std::string area;     // as in Error::area(); "usage" for arguments, "signal" for a signal
  std::string message;  // without the area
  int code = kFailure;  // exit code
  // Whether newlines in the message separate its lines; elsewhere they are shown escaped.
  bool multi_line = false;
};
// Splits the exception's "[area] message".
Failure ToFailure(const std::exception& error, bool multi_line);

// Returns whether an argument before "--" is the flag --json. It also holds for arguments that
// cannot be parsed.
bool AsksForJson(int argc, const char* const* argv);

// Writes the failure to standard error as one line `sinter: [area] message`, or with `json` as one
// line {"error": {"area": ..., "message": ..., "code": ...}}. Nothing is written for a signal
// without `json`, because the shell shows it. Returns the exit code.
int Report(const Failure& failure, bool json);
// Reports the signal that interrupted the program.
int ReportInterruption(bool json);

}  // namespace sinter::cli
