# One folder under src/ is one static library and, where it has *_test.cc files, one test program.

include(GoogleTest)

set(SINTER_COMPILE_OPTIONS -Wall -Wextra -Wno-missing-field-initializers)

# sinter_library(NAME [DEPS lib...] [LIBS target...]): static library sinter_NAME of the folder's *.cc files.
# DEPS are other Sinter libraries by their short name, LIBS are outside targets.
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
  list(TRANSFORM ARG_DEPS PREPEND sinter_)
  target_link_libraries(sinter_${name} PUBLIC ${ARG_DEPS} ${ARG_LIBS})
endfunction()

# sinter_test(NAME LABEL label [DEPS lib...] [LIBS target...] [SOURCES file...]): GoogleTest program NAME_test.
# Programs that reach a GPU (labels gpu and model) run through the launcher, with Dawn's own loader.
function(sinter_test name)
  cmake_parse_arguments(ARG "" "LABEL" "DEPS;LIBS;SOURCES" ${ARGN})
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
  target_compile_options(${name}_test PRIVATE ${SINTER_COMPILE_OPTIONS})
  list(TRANSFORM ARG_DEPS PREPEND sinter_)
  target_link_libraries(${name}_test PRIVATE ${ARG_DEPS} ${ARG_LIBS} GTest::gtest GTest::gmock)
  if(ARG_LABEL STREQUAL "unit")
    target_link_libraries(${name}_test PRIVATE GTest::gtest_main)
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST
      PROPERTIES LABELS unit TIMEOUT 120)
  else()
    # One CTest entry a program: starting an adapter for every case would cost more than the cases.
    add_test(NAME ${name} COMMAND ${SINTER_LAUNCHER} $<TARGET_FILE:${name}_test>)
    set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 900)
  endif()
endfunction()
