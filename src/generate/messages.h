// Messages of a conversation, and the prompt that a chat template makes of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::generate {

// Messages, oldest first. Each is the JSON text of an object with a role, and with the content and
// the other fields that chat templates read.
using Messages = std::vector<std::string>;

// Returns a message. Ill-formed UTF-8 becomes U+FFFD.
std::string MakeMessage(std::string_view role, std::string_view content);

// Returns the messages of a JSON array of objects with a role. Throws Error (area `generate`) that
// begins with `what` if the text is something else.
Messages MessagesFromJson(std::string_view json, std::string_view what);

// Return a message's field if it is a string, else "".
std::string RoleOf(const std::string& message);
std::string ContentOf(const std::string& message);

// Returns the messages with each content that consists of parts of text as one string, the parts
// joined by newlines, if the template does not read parts from that role. Such a template would
// write the parts as Python writes a list. Templates are tried on a short message, so that those
// which read parts get them. Throws Error if a message is no JSON.
Messages WithReadableContent(const text::ChatTemplate& chat_template, Messages messages,
                             const text::ChatTemplateOptions& options = {});

// Returns the prompt that the template makes of the messages, up to the beginning of the
// assistant's answer unless the options say otherwise. Throws what ChatTemplate::RenderJson throws.
std::string RenderMessages(const text::ChatTemplate& chat_template, const Messages& messages,
                           const text::ChatTemplateOptions& options = {});

// Returns the tokens of that prompt. Needs no GPU. Throws what RenderMessages and Tokenizer::Encode
// throw.
std::vector<int32_t> EncodeMessages(const text::Tokenizer& tokenizer,
                                    const text::ChatTemplate& chat_template,
                                    const Messages& messages,
                                    const text::ChatTemplateOptions& options = {});

}  // namespace sinter::generate
