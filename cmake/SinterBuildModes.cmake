# Compiler settings of the whole build: ccache, sanitizers, fuzzing. Include it before defining any
# target.

find_program(SINTER_CCACHE ccache)
mark_as_advanced(SINTER_CCACHE)
if(SINTER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Settings that ccache requires for precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${SINTER_CCACHE})
endif()

option(SINTER_SANITIZE "Build with AddressSanitizer and UBSan" OFF)
option(SINTER_SANITIZE_THREAD "Build with ThreadSanitizer" OFF)
option(SINTER_FUZZ "Build the fuzz targets (clang only)" OFF)
# Compiling file by file takes 2.3 times the processor time. The cost of batches: names in unnamed
# namespaces must be unique within a library.
option(SINTER_UNITY "Compile each library's files in batches" ON)
set(SINTER_UNITY_BATCH 6)

# libsinter.so is made of the static libraries and exports nothing but its C functions. Hidden symbols
# keep calls within it direct. Builds with sanitizers have no libsinter.so.
set(SINTER_SHARED_LIBRARY ON)
if(SINTER_SANITIZE OR SINTER_SANITIZE_THREAD)
  set(SINTER_SHARED_LIBRARY OFF)
else()
  set(CMAKE_CXX_VISIBILITY_PRESET hidden)
  set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
endif()

if(SINTER_FUZZ AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "SINTER_FUZZ needs clang++ (libFuzzer), got ${CMAKE_CXX_COMPILER_ID}")
endif()
if(SINTER_SANITIZE)
  # Leaves out three UBSan checks, because AddressSanitizer finds the same errors and they take a
  # third of the compile time.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=null,object-size,vptr
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(SINTER_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # With sanitizers g++ 12 reports false uninitialized uses in std::regex (GCC bug 105562).
  add_compile_options(-Wno-maybe-uninitialized)
endif()
if(SINTER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(SINTER_SANITIZE_THREAD)
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Links the sanitizer's library statically, because the launcher's loader would search for it
    # among Dawn's libraries.
    add_link_options(-static-libtsan)
  endif()
endif()

# Options for code that compiles slowly and whose speed matters little: tests and the command line.
# Such code takes most of the build time.
set(SINTER_QUICK_OPTIONS $<$<CONFIG:Release>:-O1>)
# Options for tests. Sanitizers target the libraries. Tests keep AddressSanitizer, which checks the
# memory that they pass to a library; UBSan's checks would double the compile time of gtest's
# macros.
set(SINTER_TEST_OPTIONS ${SINTER_QUICK_OPTIONS})
if(SINTER_SANITIZE)
  set(SINTER_QUICK_OPTIONS -O0)
  set(SINTER_TEST_OPTIONS -O0 -fno-sanitize=undefined)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # With precompiled headers g++ 12 gives false warnings about the standard library's strings (GCC
  # bug 105651).
  list(APPEND SINTER_TEST_OPTIONS -Wno-array-bounds -Wno-stringop-overflow)
endif()
