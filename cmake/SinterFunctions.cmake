# Functions that define targets. Each folder under src/ is one static library and, if it has
# *_test.cc files, one test program.

include(GoogleTest)

set(SINTER_COMPILE_OPTIONS -Wall -Wextra -Wno-missing-field-initializers)

# sinter_compile_in_batches(TARGET): compiles several of the target's files as one, so that their
# common headers are parsed once.
function(sinter_compile_in_batches target)
  set_target_properties(${target} PROPERTIES
    UNITY_BUILD ${SINTER_UNITY} UNITY_BUILD_BATCH_SIZE ${SINTER_UNITY_BATCH})
endfunction()

# sinter_library(NAME [DEPS lib...] [LIBS target...] [SOURCES file...]): defines the static library
# sinter_NAME from SOURCES, by default the folder's *.cc files. DEPS are other Sinter libraries by
# short name, LIBS are external targets.
function(sinter_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS;SOURCES" ${ARGN})
  set(sources ${ARG_SOURCES})
  if(NOT sources)
    file(GLOB sources CONFIGURE_DEPENDS *.cc)
    list(FILTER sources EXCLUDE REGEX "_(test|ref|fuzz|bench)\\.cc$")
  endif()
  add_library(sinter_${name} STATIC ${sources})
  target_include_directories(sinter_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(sinter_${name} PRIVATE ${SINTER_COMPILE_OPTIONS})
  set_target_properties(sinter_${name} PROPERTIES POSITION_INDEPENDENT_CODE ${SINTER_SHARED_LIBRARY})
  sinter_compile_in_batches(sinter_${name})
  list(TRANSFORM ARG_DEPS PREPEND sinter_)
  target_link_libraries(sinter_${name} PUBLIC ${ARG_DEPS} ${ARG_LIBS})
endfunction()

# Builds the unit tests. The default target leaves them out, because they run in the preset
# `sanitize`.
if(BUILD_TESTING)
  add_custom_target(unit_tests)
endif()

# sinter_uses_dawn(OUT target...): sets OUT to whether one of the targets needs Dawn, directly or
# through another target.
function(sinter_uses_dawn out)
  set(${out} FALSE PARENT_SCOPE)
  foreach(target IN LISTS ARGN)
    if(target STREQUAL "sinter::dawn")
      set(${out} TRUE PARENT_SCOPE)
      return()
    elseif(target MATCHES "^sinter_" AND TARGET ${target})
      get_target_property(links ${target} INTERFACE_LINK_LIBRARIES)
      if(links)
        sinter_uses_dawn(found ${links})
        if(found)
          set(${out} TRUE PARENT_SCOPE)
          return()
        endif()
      endif()
    endif()
  endforeach()
endfunction()

# sinter_precompile_test_headers(TARGET): precompiles the headers that nearly all tests include,
# which halves the compile time of TARGET's sources. TARGET must use the options of tests.
function(sinter_precompile_test_headers target)
  if(NOT TARGET sinter_test_headers)
    set(source ${CMAKE_BINARY_DIR}/test_headers.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "")
    add_library(sinter_test_headers OBJECT ${source})
    target_compile_options(sinter_test_headers PRIVATE ${SINTER_COMPILE_OPTIONS} ${SINTER_TEST_OPTIONS})
    target_link_libraries(sinter_test_headers PRIVATE GTest::gmock fmt::fmt)
    target_precompile_headers(sinter_test_headers PRIVATE
      <gmock/gmock.h> <gtest/gtest.h> <fmt/format.h>
      <algorithm> <cmath> <limits> <map> <memory> <random> <string> <vector>)
  endif()
  target_link_libraries(${target} PRIVATE fmt::fmt)  # its definitions must be the same
  target_precompile_headers(${target} REUSE_FROM sinter_test_headers)
endfunction()

# sinter_test(NAME LABEL label [SHARDS n] [COST seconds] [DEPS lib...] [LIBS target...] [SOURCES
# file...]): defines the GoogleTest program NAME_test. Programs that link Dawn run through the
# launcher, with Dawn's loader.
function(sinter_test name)
  cmake_parse_arguments(ARG "" "LABEL;SHARDS;COST" "DEPS;LIBS;SOURCES" ${ARGN})
  if(NOT BUILD_TESTING)
    return()
  endif()
  set(sources ${ARG_SOURCES})
  if(NOT sources)
    file(GLOB sources CONFIGURE_DEPENDS *_test.cc)
  endif()
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_test ${sources})
  target_compile_options(${name}_test PRIVATE ${SINTER_COMPILE_OPTIONS} ${SINTER_TEST_OPTIONS})
  sinter_precompile_test_headers(${name}_test)
  list(TRANSFORM ARG_DEPS PREPEND sinter_)
  target_link_libraries(${name}_test PRIVATE ${ARG_DEPS} ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  sinter_uses_dawn(uses_dawn ${ARG_DEPS} ${ARG_LIBS})
  if(uses_dawn)
    set_target_properties(${name}_test PROPERTIES CROSSCOMPILING_EMULATOR ${SINTER_LAUNCHER})
  endif()
  if(ARG_LABEL STREQUAL "unit")
    set_target_properties(${name}_test PROPERTIES EXCLUDE_FROM_ALL ON)
    add_dependencies(unit_tests ${name}_test)
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES
      PROPERTIES LABELS unit TIMEOUT 120)
  else()
    # Adds one CTest entry per program, or a few shards that split its cases: opening an adapter for
    # every case would take longer than the cases. Most of the time is shader compilation, which
    # uses one thread.
    if(NOT ARG_SHARDS)
      set(ARG_SHARDS 1)
    endif()
    if(NOT ARG_COST)
      set(ARG_COST 30)
    endif()
    foreach(shard RANGE 1 ${ARG_SHARDS})
      set(test ${name})
      if(ARG_SHARDS GREATER 1)
        set(test ${name}.${shard})
      endif()
      math(EXPR index "${shard} - 1")
      add_test(NAME ${test} COMMAND ${name}_test)
      # COST starts the longest tests first, so that none is left running alone at the end.
      set_tests_properties(${test} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 900 COST ${ARG_COST}
        ENVIRONMENT "GTEST_TOTAL_SHARDS=${ARG_SHARDS};GTEST_SHARD_INDEX=${index}")
    endforeach()
  endif()
endfunction()
