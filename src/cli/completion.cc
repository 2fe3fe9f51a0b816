#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "cli/shell_word.h"

namespace sinter::cli {
namespace {

// Kinds of values that options and positional arguments take.
enum class Kind { kNone, kWords, kFile, kFolder, kModel, kModelName, kText };

Kind KindOf(const OptionInfo& option) {
  if (option.value.empty()) return Kind::kNone;
  if (!option.choices.empty()) return Kind::kWords;
  if (option.type == "FILE") return Kind::kFile;
  if (option.type == "DIR") return Kind::kFolder;
  if (option.type == "MODEL_NAME") return Kind::kModelName;
  return option.type == "MODEL" ? Kind::kModel : Kind::kText;
}

// Returns the names to offer: the aliases among the long ones would only repeat an option.
std::vector<std::string> OfferedNames(const OptionInfo& option) {
  std::vector<std::string> names = option.short_names;
  if (!option.long_names.empty()) names.push_back(option.long_names[0]);
  return names;
}

std::vector<const OptionInfo*> AllOptions(const CommandInfo& command) {
  std::vector<const OptionInfo*> options;
  for (const OptionGroup& group : command.groups) {
    for (const OptionInfo& option : group.options) options.push_back(&option);
  }
  return options;
}

// Returns the first sentence of a description, which fits beside the option in a menu.
std::string Summary(const std::string& description) {
  for (const std::string_view end : {"; ", ". ", " (default", "\n", ": "}) {
    if (const size_t at = description.find(end); at != std::string::npos && at > 8)
      return Summary(description.substr(0, at));
  }
  return description;
}

// --- bash ---------------------------------------------------------------------------------------

std::string BashReply(Kind kind, const std::vector<std::string>& words) {
  switch (kind) {
    case Kind::kWords:
      return fmt::format("mapfile -t COMPREPLY < <(compgen -W {} -- \"$cur\")",
                         ShellQuoted(fmt::format("{}", fmt::join(words, " "))));
    case Kind::kFile:
      return "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")";
    case Kind::kFolder:
      return "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")";
    case Kind::kModel:
      return "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -W "
             "\"$(\"${COMP_WORDS[0]}\" list --names 2> /dev/null)\" -- \"$cur\")";
    case Kind::kModelName:
      return "mapfile -t COMPREPLY < <(compgen -W \"$(\"${COMP_WORDS[0]}\" list --names 2> "
             "/dev/null)\" -- \"$cur\")";
    case Kind::kNone:
    case Kind::kText:
      break;
  }
  return ":";
}

std::string BashScript(const CommandInfo& program) {
  std::vector<std::string> commands;
  for (const CommandInfo& command : program.commands) commands.push_back(command.name);
  std::string values, names, arguments;
  for (const CommandInfo& command : program.commands) {
    std::vector<std::string> offered;
    for (const OptionInfo* option : AllOptions(command)) {
      const std::vector<std::string> of_option = OfferedNames(*option);
      offered.insert(offered.end(), of_option.begin(), of_option.end());
      if (KindOf(*option) == Kind::kNone) continue;
      std::vector<std::string> patterns;
      for (const auto* list : {&option->short_names, &option->long_names}) {
        for (const std::string& name : *list) patterns.push_back(command.name + ":" + name);
      }
      values += fmt::format("    {}) {}; return ;;\n", fmt::join(patterns, "|"),
                            BashReply(KindOf(*option), option->choices));
    }
    names += fmt::format("    {}) names={} ;;\n", command.name,
                         ShellQuoted(fmt::format("{}", fmt::join(offered, " "))));
    for (const OptionInfo& positional : command.positionals) {
      const Kind kind = KindOf(positional);
      if (kind == Kind::kText) continue;
      arguments +=
          fmt::format("    {}) {} ;;\n", command.name, BashReply(kind, positional.choices));
      break;
    }
  }
  std::vector<std::string> first = commands;
  for (const OptionInfo* option : AllOptions(program)) {
    for (const std::string& name : OfferedNames(*option)) first.push_back(name);
  }
  return fmt::format(R"(# bash completion of {0}, made by: {0} completion bash
_{0}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command= names= i
  # --option=value comes as three words.
  if [[ $cur == '=' ]]; then
    cur=
  elif [[ $prev == '=' ]]; then
    prev=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${{COMP_WORDS[i]}} in
      {1}) command=${{COMP_WORDS[i]}}; break ;;
    esac
  done
  if [[ -z $command ]]; then
    {2}
    return
  fi
  case $command:$prev in
{3}  esac
  case $command in
{4}  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
    return
  fi
  case $command in
{5}  esac
}}
complete -F _{0} {0}
)",
                     program.name, fmt::join(commands, "|"), BashReply(Kind::kWords, first), values,
                     names, arguments);
}

// --- zsh ----------------------------------------------------------------------------------------

// Returns the text with the characters escaped that end a part of a specification of _arguments.
std::string ZshText(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string ZshAction(const OptionInfo& option) {
  switch (KindOf(option)) {
    case Kind::kWords:
      return fmt::format("({})", fmt::join(option.choices, " "));
    case Kind::kFile:
      return "_files";
    case Kind::kFolder:
      return "_files -/";
    case Kind::kModel:
      return "{ compadd -- ${(f)\"$(_call_program models sinter list --names 2> /dev/null)\"}; "
             "_files -/ }";
    case Kind::kModelName:
      return "{ compadd -- ${(f)\"$(_call_program models sinter list --names 2> /dev/null)\"} }";
    case Kind::kNone:
    case Kind::kText:
      break;
  }
  return " ";
}

std::string ZshOption(const OptionInfo& option) {
  std::string specification;
  const std::vector<std::string> names = OfferedNames(option);
  const bool has_value = KindOf(option) != Kind::kNone;
  for (const std::string& name : names) {
    const std::string head = option.repeatable ? "*" : fmt::format("({})", fmt::join(names, " "));
    // A long option takes its value behind '=', too.
    const char* form = !has_value ? "" : name.starts_with("--") ? "=" : "+";
    specification += "      " +
                     ShellQuoted(fmt::format(
                         "{}{}{}[{}]{}", head, name, form, ZshText(Summary(option.description)),
                         has_value ? ":" + ZshText(option.value) + ":" + ZshAction(option) : "")) +
                     " \\\n";
  }
  return specification;
}

std::string ZshScript(const CommandInfo& program) {
  std::string commands, cases, options;
  for (const OptionInfo* option : AllOptions(program)) options += ZshOption(*option);
  for (const CommandInfo& command : program.commands) {
    commands +=
        "    " + ShellQuoted(ZshText(command.name) + ":" + Summary(command.description)) + "\n";
    std::string specifications;
    for (const OptionInfo* option : AllOptions(command)) specifications += ZshOption(*option);
    size_t place = 1;
    for (const OptionInfo& positional : command.positionals) {
      const std::string at = positional.repeatable ? "*" : std::to_string(place++);
      specifications += "      " +
                        ShellQuoted(fmt::format("{}:{}:{}", at, ZshText(positional.value),
                                                ZshAction(positional))) +
                        " \\\n";
    }
    cases += fmt::format("    {}) _arguments -s \\\n{}      && return ;;\n", command.name,
                         specifications);
  }
  return fmt::format(R"(#compdef {0}
# zsh completion of {0}, made by: {0} completion zsh
_{0}() {{
  local -a commands
  commands=(
{1}  )
  if (( CURRENT == 2 )); then
    _describe -t commands command commands
    _arguments \
{2}      && return
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{3}  esac
}}
if [[ $funcstack[1] == _{0} ]]; then
  _{0} "$@"
else
  compdef _{0} {0}
fi
)",
                     program.name, commands, options, cases);
}

// --- fish ---------------------------------------------------------------------------------------

std::string FishText(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string FishAction(const OptionInfo& option) {
  switch (KindOf(option)) {
    case Kind::kWords:
      return fmt::format(" -x -a {}", FishText(fmt::format("{}", fmt::join(option.choices, " "))));
    case Kind::kFile:
      return " -r -F";
    case Kind::kFolder:
      return " -x -a '(__fish_complete_directories)'";
    case Kind::kModel:
      return " -x -a '(sinter list --names 2> /dev/null; __fish_complete_directories)'";
    case Kind::kModelName:
      return " -x -a '(sinter list --names 2> /dev/null)'";
    case Kind::kText:
      return " -x";
    case Kind::kNone:
      break;
  }
  return "";
}

std::string FishOption(const std::string& head, const OptionInfo& option) {
  std::string line = head;
  for (const std::string& name : OfferedNames(option)) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  return line + FishAction(option) + " -d " + FishText(Summary(option.description)) + "\n";
}

std::string FishScript(const CommandInfo& program) {
  std::string script =
      fmt::format("# fish completion of {0}, made by: {0} completion fish\n", program.name);
  const std::string complete = "complete -c " + program.name;
  script += complete + " -f\n";
  for (const OptionInfo* option : AllOptions(program)) {
    script += FishOption(complete + " -n __fish_use_subcommand", *option);
  }
  for (const CommandInfo& command : program.commands) {
    script += fmt::format("{} -n __fish_use_subcommand -a {} -d {}\n", complete, command.name,
                          FishText(Summary(command.description)));
    const std::string head =
        fmt::format("{} -n '__fish_seen_subcommand_from {}'", complete, command.name);
    for (const OptionInfo* option : AllOptions(command)) script += FishOption(head, *option);
    for (const OptionInfo& positional : command.positionals) {
      const Kind kind = KindOf(positional);
      if (kind == Kind::kText) continue;
      script += head + (kind == Kind::kFile ? " -F" : FishAction(positional)) + "\n";
      break;
    }
  }
  return script;
}

}  // namespace

std::vector<std::string> Shells() { return {"bash", "zsh", "fish"}; }

std::string CompletionScript(const CommandInfo& program, std::string_view shell) {
  if (shell == "bash") return BashScript(program);
  if (shell == "zsh") return ZshScript(program);
  SINTER_CHECK(shell == "fish", "shell '{}'", shell);
  return FishScript(program);
}

}  // namespace sinter::cli
