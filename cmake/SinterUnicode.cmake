# PCRE2 and utf8proc, which tell tokenizers what a letter, a digit or a punctuation mark is. Include it
# after SinterDawn. Defines: sinter::pcre2, sinter::utf8proc.
#
# Both come from where Dawn comes from, because the releases without Dawn also have a Unicode that is
# too old: PCRE2 10.42 of Debian 12 has version 14, and splits text with later characters otherwise
# than the tokenizers that models were trained with. The static libraries need nothing of the
# prefix's libc, so that programs which link them also run with the host's loader.

# sinter_unicode_library(TARGET HEADER ARCHIVE PREFIX want): defines an imported static library. PREFIX
# begins the macros in HEADER that tell the library's version, PREFIX_MAJOR and PREFIX_MINOR; `want`
# is the oldest version with Unicode 16.
function(sinter_unicode_library target header archive prefix want)
  string(MAKE_C_IDENTIFIER ${target} id)
  if(SINTER_PREFIX)
    set(include ${SINTER_PREFIX}/sinter-include/unicode)
    set(library ${SINTER_PREFIX_LIB}/${archive})
    if(NOT EXISTS ${include}/${header} OR NOT EXISTS ${library})
      message(FATAL_ERROR "${SINTER_PREFIX} has no ${archive}: run tools/bootstrap")
    endif()
  else()
    find_path(${id}_HEADER_DIR ${header} REQUIRED)
    find_library(${id}_LIBRARY ${archive} REQUIRED)
    mark_as_advanced(${id}_HEADER_DIR ${id}_LIBRARY)
    set(include ${${id}_HEADER_DIR})
    set(library ${${id}_LIBRARY})
  endif()
  set(version "")
  foreach(part MAJOR MINOR)
    file(STRINGS ${include}/${header} line REGEX "^#define ${prefix}_${part} ")
    string(REGEX REPLACE ".* ([0-9]+)$" "\\1" number "${line}")
    list(APPEND version ${number})
  endforeach()
  list(JOIN version "." version)
  if(version VERSION_LESS want)
    message(FATAL_ERROR
      "${header}: got version ${version}, want at least ${want}, the first with Unicode 16")
  endif()
  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${library} INTERFACE_INCLUDE_DIRECTORIES ${include})
endfunction()

sinter_unicode_library(sinter::pcre2 pcre2.h libpcre2-8.a PCRE2 10.45)
target_compile_definitions(sinter::pcre2 INTERFACE PCRE2_CODE_UNIT_WIDTH=8 PCRE2_STATIC)
sinter_unicode_library(sinter::utf8proc utf8proc.h libutf8proc.a UTF8PROC_VERSION 2.10)
target_compile_definitions(sinter::utf8proc INTERFACE UTF8PROC_STATIC)
