# Compiler settings that hold for the whole build: ccache, sanitizers, fuzzing. Include it before
# any target is made.

find_program(SINTER_CCACHE ccache)
mark_as_advanced(SINTER_CCACHE)
if(SINTER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What it asks for where headers are precompiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${SINTER_CCACHE})
endif()

option(SINTER_SANITIZE "Build with AddressSanitizer and UBSan" OFF)
option(SINTER_SANITIZE_THREAD "Build with ThreadSanitizer" OFF)
option(SINTER_FUZZ "Build the fuzz targets (clang only)" OFF)
# Compiling the program file by file takes 2.3 times the processor time. The price: names in unnamed
# namespaces have to differ within a library.
option(SINTER_UNITY "Compile each library's files in batches" ON)
set(SINTER_UNITY_BATCH 6)

if(SINTER_FUZZ AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "SINTER_FUZZ needs clang++ (libFuzzer), got ${CMAKE_CXX_COMPILER_ID}")
endif()
if(SINTER_SANITIZE)
  # AddressSanitizer finds what these three checks find, which take a third of the compiler's time.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=null,object-size,vptr
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(SINTER_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # With sanitizers g++ 12 takes much of std::regex for uninitialized (GCC bug 105562).
  add_compile_options(-Wno-maybe-uninitialized)
endif()
if(SINTER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(SINTER_SANITIZE_THREAD)
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The launcher's loader would look for the library where Dawn's are.
    add_link_options(-static-libtsan)
  endif()
endif()

# For objects that take the compiler long and whose speed matters little: tests, the command line,
# chat templates. They are most of the time that a build takes.
set(SINTER_QUICK_OPTIONS $<$<CONFIG:Release>:-O1>)
# What the sanitizers look for is in the libraries. Tests keep AddressSanitizer, for what they hand
# to a library; UBSan's checks would double the time that gtest's macros take.
set(SINTER_TEST_OPTIONS ${SINTER_QUICK_OPTIONS})
if(SINTER_SANITIZE)
  set(SINTER_QUICK_OPTIONS -O0)
  set(SINTER_TEST_OPTIONS -O0 -fno-sanitize=undefined)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Where headers are precompiled g++ 12 warns of the standard library's own strings (GCC bug 105651).
  list(APPEND SINTER_TEST_OPTIONS -Wno-array-bounds -Wno-stringop-overflow)
endif()
