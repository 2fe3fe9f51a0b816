#include "cli/man_page.h"

#include <fmt/format.h>

namespace sinter::cli {
namespace {

// Returns the text as roff prints it: hyphens that can be copied, no macros at the begin of lines.
std::string Roff(std::string_view text) {
  std::string roff;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) roff += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      roff += "\\e";
    } else if (c == '-') {
      roff += "\\-";
    } else if (c == '~') {
      roff += "\\(ti";
    } else if (c == '^') {
      roff += "\\(ha";
    } else if (c == '\'') {
      roff += "\\(aq";
    } else {
      roff += c;
    }
  }
  return roff;
}

// Appends a paragraph in lines as long as mandoc likes them.
void AppendParagraphTo(std::string_view text, std::string& page) {
  for (const std::string& line : Wrapped(text, 70)) page += Roff(line) + "\n";
}

// Appends a text: paragraphs, and indented lines as they are.
void AppendText(std::string_view text, std::string& page) {
  bool verbatim = false;
  for (const std::string& line : Paragraphs(text)) {
    const bool indented = line.starts_with(' ');
    if (indented != verbatim) page += indented ? ".nf\n" : ".fi\n";
    verbatim = indented;
    if (line.empty()) {
      page += ".PP\n";
    } else if (indented) {
      page += Roff(line) + "\n";
    } else {
      AppendParagraphTo(line, page);
    }
  }
  if (verbatim) page += ".fi\n";
}

void AppendOption(const OptionInfo& option, std::string& page) {
  page += ".TP\n";
  std::string names;
  for (const auto* list : {&option.short_names, &option.long_names}) {
    for (const std::string& name : *list) {
      names += (names.empty() ? "\\fB" : ", \\fB") + Roff(name) + "\\fR";
    }
  }
  if (!option.value.empty()) {
    names += fmt::format("{}\\fI{}\\fR", names.empty() ? "" : " ", Roff(option.value));
  }
  page += names + "\n";
  AppendParagraphTo(option.description, page);
}

void AppendCommand(const CommandInfo& command, std::string_view program, std::string& page) {
  page += fmt::format(".SS {}\n{}.\n.PP\n\\fB{}\\fR\n", Roff(command.name),
                      Roff(command.description), Roff(UsageLine(command, program)));
  for (const OptionInfo& positional : command.positionals) {
    OptionInfo named = positional;
    named.short_names.clear();
    named.long_names.clear();
    AppendOption(named, page);
  }
  for (const OptionGroup& group : command.groups) {
    if (group.options.empty()) continue;
    page += fmt::format(".PP\n{}:\n", Roff(group.name));
    for (const OptionInfo& option : group.options) AppendOption(option, page);
  }
  if (command.footer.empty()) return;
  page += ".PP\n";
  AppendText(command.footer, page);
}

}  // namespace

std::string ManPage(const CommandInfo& program, std::string_view version, std::string_view date) {
  std::string page = fmt::format(R"(.\" Made by: {0} man
.TH {1} 1 {2} "Sinter {3}" "User Commands"
.SH NAME
{0} \- run large language models on any GPU
.SH SYNOPSIS
.B {4}
.SH DESCRIPTION
{5}.
)",
                                 program.name, "SINTER", date, version,
                                 Roff(UsageLine(program, "")), Roff(program.description));
  for (const OptionGroup& group : program.groups) {
    for (const OptionInfo& option : group.options) AppendOption(option, page);
  }
  page += ".SH COMMANDS\n";
  for (const CommandInfo& command : program.commands) AppendCommand(command, program.name, page);
  page += ".SH NOTES\n";
  AppendText(program.footer, page);
  return page;
}

}  // namespace sinter::cli
