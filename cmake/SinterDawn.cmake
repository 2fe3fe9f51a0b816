# Dawn (WebGPU) and the launcher that runs programs that use Dawn.
# Defines: sinter::dawn, SINTER_LAUNCHER (a command for add_test), SINTER_PREFIX (empty if the
# system has Dawn), sinter_launcher().
#
# Dawn comes from the system's packages or from the private prefix that tools/bootstrap creates. The
# prefix has a newer libc than the host. Programs therefore compile against the host's headers plus
# only Dawn's, and run through the prefix's loader.

if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(_cache $ENV{XDG_CACHE_HOME})
else()
  set(_cache $ENV{HOME}/.cache)
endif()
set(SINTER_PREFIX ${_cache}/sinter/prefix CACHE PATH
  "Private prefix with Dawn, made by tools/bootstrap; not used where the system has Dawn")

find_package(Dawn CONFIG QUIET)
mark_as_advanced(Dawn_DIR)

if(TARGET dawn::webgpu_dawn)
  set(SINTER_PREFIX "")
  add_library(sinter::dawn ALIAS dawn::webgpu_dawn)
elseif(EXISTS ${SINTER_PREFIX}/sinter-stamp)
  set(SINTER_PREFIX_LIB ${SINTER_PREFIX}/usr/lib/x86_64-linux-gnu)
  add_library(sinter::dawn SHARED IMPORTED GLOBAL)
  set_target_properties(sinter::dawn PROPERTIES
    IMPORTED_LOCATION ${SINTER_PREFIX_LIB}/libwebgpu_dawn.so
    IMPORTED_SONAME libwebgpu_dawn.so.0
    INTERFACE_INCLUDE_DIRECTORIES ${SINTER_PREFIX}/sinter-include/dawn
    # The prefix's loader resolves Dawn's dependencies (abseil, a newer libc), so the linker must
    # ignore them.
    INTERFACE_LINK_OPTIONS
      "-Wl,--allow-shlib-undefined;-Wl,-rpath-link,${SINTER_PREFIX_LIB}")
  # Without the launcher, an rpath would combine the host's loader with the prefix's libc.
  set(CMAKE_SKIP_RPATH ON)
else()
  message(FATAL_ERROR "Dawn is neither on the system nor in ${SINTER_PREFIX}: run tools/bootstrap")
endif()

# sinter_launcher(OUTPUT LIB shell-word ICD_DIR shell-word PROGRAM shell-word [REMEDY shell-word]):
# writes a launcher. The words are inserted into the script without quoting, so they may be paths or
# shell expansions. REMEDY says what to do where a file is missing; default: build in the checkout.
function(sinter_launcher output)
  cmake_parse_arguments(SINTER_LAUNCH "" "LIB;ICD_DIR;PROGRAM;REMEDY" "" ${ARGN})
  if(NOT SINTER_LAUNCH_REMEDY)
    set(SINTER_LAUNCH_REMEDY "\"run 'make demo' again in ${PROJECT_SOURCE_DIR}\"")
  endif()
  configure_file(${PROJECT_SOURCE_DIR}/tools/launcher.sh.in ${output} @ONLY
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
      WORLD_READ WORLD_EXECUTE)
endfunction()

set(SINTER_LAUNCHER ${PROJECT_BINARY_DIR}/launch)
if(SINTER_PREFIX)
  sinter_launcher(${SINTER_LAUNCHER}
    LIB "'${SINTER_PREFIX_LIB}'" ICD_DIR "'${SINTER_PREFIX}/usr/share/vulkan/icd.d'" PROGRAM "''")
else()
  sinter_launcher(${SINTER_LAUNCHER} LIB "''" ICD_DIR "''" PROGRAM "''")
endif()
