# Writes OUTPUT, a C++ file that holds every shader below ROOT as a string. Run this script with
#   cmake -DROOT=... -DOUTPUT=... -DFILES=a;b -P EmbedWgsl.cmake

set(entries "")
foreach(file IN LISTS FILES)
  file(RELATIVE_PATH path ${ROOT} ${file})
  file(READ ${file} text)
  string(APPEND entries "    {\"${path}\", R\"wgsl(${text})wgsl\"},\n")
endforeach()
file(WRITE ${OUTPUT}.new "// Made by cmake/EmbedWgsl.cmake.
#include \"kernels/shader_source.h\"

namespace sinter::kernels {

const std::vector<std::pair<std::string_view, std::string_view>>& EmbeddedWgsl() {
  static const std::vector<std::pair<std::string_view, std::string_view>> files = {
${entries}  };
  return files;
}

}  // namespace sinter::kernels
")
file(COPY_FILE ${OUTPUT}.new ${OUTPUT} ONLY_IF_DIFFERENT)
