# All external libraries. Static where Debian has the archive, so that an installed Sinter has few
# files.

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(benchmark REQUIRED)
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
endif()

# sinter_static_library(TARGET header archive): defines an imported target for a library without
# CMake files.
function(sinter_static_library target header archive)
  string(MAKE_C_IDENTIFIER ${target} id)
  find_path(${id}_INCLUDE ${header} REQUIRED)
  find_library(${id}_ARCHIVE ${archive} REQUIRED)
  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${${id}_ARCHIVE} INTERFACE_INCLUDE_DIRECTORIES ${${id}_INCLUDE})
endfunction()

sinter_static_library(sinter::pcre2 pcre2.h libpcre2-8.a)
target_compile_definitions(sinter::pcre2 INTERFACE PCRE2_CODE_UNIT_WIDTH=8 PCRE2_STATIC)
sinter_static_library(sinter::utf8proc utf8proc.h libutf8proc.a)
target_compile_definitions(sinter::utf8proc INTERFACE UTF8PROC_STATIC)

find_path(PROTOZERO_INCLUDE protozero/pbf_reader.hpp REQUIRED)
add_library(sinter::protozero INTERFACE IMPORTED GLOBAL)
set_target_properties(sinter::protozero PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${PROTOZERO_INCLUDE})
