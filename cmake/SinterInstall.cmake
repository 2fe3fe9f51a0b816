# Creates the checkout's ./sinter and the rules of `cmake --install BUILD --prefix X`. The installed
# folder can be moved and runs on any x86-64 Linux with a Vulkan driver. Include this file after the
# target `sinter` is defined.
#
#   X/bin/sinter              the launcher
#   X/lib/sinter/             the program, Dawn, the loader and all libraries that they need
#   X/share/man/man1/         the manual page; beside it the completion scripts of bash, zsh and fish
#   X/share/doc/sinter/       Sinter's licence, and those of the included packages
#
# `--component software` adds lavapipe, a software GPU, to the same folder (170 MiB, mostly LLVM).

if(SINTER_PREFIX)
  set(_loader ${SINTER_PREFIX_LIB}/ld-linux-x86-64.so.2)
  set(_search ${SINTER_PREFIX_LIB})
  set(_share ${SINTER_PREFIX}/usr/share)
  set(_build_words LIB "'${SINTER_PREFIX_LIB}'" ICD_DIR "'${_share}/vulkan/icd.d'")
else()
  set(_loader /lib64/ld-linux-x86-64.so.2)
  set(_search /usr/lib/x86_64-linux-gnu)
  set(_share /usr/share)
  set(_build_words LIB "''" ICD_DIR "''")
endif()

option(SINTER_ROOT_LAUNCHER "Put the launcher ./sinter at the checkout's root" OFF)
if(SINTER_ROOT_LAUNCHER)
  sinter_launcher(${PROJECT_BINARY_DIR}/sinter-launcher ${_build_words}
    PROGRAM "'${PROJECT_BINARY_DIR}/bin/sinter'")
  set_target_properties(sinter PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  add_custom_command(OUTPUT ${PROJECT_SOURCE_DIR}/sinter
    COMMAND ${CMAKE_COMMAND} -E copy ${PROJECT_BINARY_DIR}/sinter-launcher
      ${PROJECT_SOURCE_DIR}/sinter
    DEPENDS ${PROJECT_BINARY_DIR}/sinter-launcher sinter VERBATIM)
  add_custom_target(root_launcher ALL DEPENDS ${PROJECT_SOURCE_DIR}/sinter)
endif()

set(_root [["$(dirname "$(dirname "$(readlink -f "$0")")")"]])
sinter_launcher(${PROJECT_BINARY_DIR}/install/sinter
  LIB "${_root}/lib/sinter" ICD_DIR [["$lib/icd.d"]] PROGRAM [["$lib/sinter"]]
  REMEDY "'install Sinter again'")
install(PROGRAMS ${PROJECT_BINARY_DIR}/install/sinter DESTINATION bin COMPONENT runtime)
install(TARGETS sinter DESTINATION lib/sinter COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION share/doc/sinter COMPONENT runtime)

# The program writes its manual page and its completion scripts itself, from the options that it has.
install(CODE "set(SINTER_COMMAND ${SINTER_LAUNCHER} \$<TARGET_FILE:sinter>)" COMPONENT runtime)
install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/install_manual.cmake COMPONENT runtime)

# Copies the component's objects and their dependencies with install_runtime.cmake, which resolves
# them with the loader itself.
macro(_sinter_install_runtime component)
  install(CODE "
    set(SINTER_LOADER ${_loader})
    set(SINTER_SEARCH ${_search})
    set(SINTER_SHARE ${_share})
    set(SINTER_OBJECTS ${ARGN})" COMPONENT ${component} ${_exclude})
  install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/install_runtime.cmake
    COMPONENT ${component} ${_exclude})
endmacro()

# A host's Vulkan driver loads parts of libc that Sinter does not use. They must come from the same
# build as the libc that is already loaded. NVIDIA's driver initializes through X and EGL even
# without a screen.
set(_libc_parts "")
foreach(part anl.so.1 dl.so.2 m.so.6 mvec.so.1 nss_dns.so.2 nss_files.so.2 pthread.so.0 resolv.so.2
    rt.so.1 thread_db.so.1 util.so.1)
  if(EXISTS ${_search}/lib${part})
    list(APPEND _libc_parts ${_search}/lib${part})
  endif()
endforeach()
set(_exclude "")
_sinter_install_runtime(runtime \$<TARGET_FILE:sinter> ${_search}/libvulkan.so.1
  ${_search}/libXext.so.6 ${_search}/libEGL.so.1 ${_libc_parts})

set(_exclude EXCLUDE_FROM_ALL)
_sinter_install_runtime(software ${_search}/libvulkan_lvp.so)
install(FILES ${_share}/vulkan/icd.d/lvp_icd.json DESTINATION lib/sinter/icd.d
  COMPONENT software EXCLUDE_FROM_ALL)

# The library for other programs: what they link, headers, and how CMake and pkg-config find them.
#
#   X/lib/libsinter.so        the library; X/lib/sinter has a link to it for the loader
#   X/bin/sinter-launch       runs a program that uses it with the loader and Dawn of X/lib/sinter
#   X/include/sinter/         sinter.h, sinter.hpp
#   X/lib/cmake/sinter/       find_package(sinter)
#   X/lib/pkgconfig/          pkg-config sinter
if(TARGET sinter_shared)
  install(TARGETS sinter_shared LIBRARY DESTINATION lib COMPONENT runtime
    NAMELINK_COMPONENT development)
  get_target_property(_abi sinter_shared SOVERSION)
  # Dawn's own needs, such as a newer libc, are resolved when the program runs.
  set(SINTER_LINK_OPTIONS "-Wl,--allow-shlib-undefined")
  sinter_launcher(${PROJECT_BINARY_DIR}/install/sinter-launch
    LIB "${_root}/lib/sinter" ICD_DIR [["$lib/icd.d"]] PROGRAM "''"
    REMEDY "'install Sinter again'")
  install(PROGRAMS ${PROJECT_BINARY_DIR}/install/sinter-launch DESTINATION bin COMPONENT runtime)
  install(CODE "file(CREATE_LINK ../libsinter.so.${_abi}
    \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/sinter/libsinter.so.${_abi} SYMBOLIC)"
    COMPONENT runtime)
  include(CMakePackageConfigHelpers)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/sinter-config.cmake.in
    ${PROJECT_BINARY_DIR}/install/sinter-config.cmake @ONLY)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/sinter.pc.in
    ${PROJECT_BINARY_DIR}/install/sinter.pc @ONLY)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/install/sinter-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/sinter DESTINATION include
    COMPONENT development)
  install(FILES ${PROJECT_BINARY_DIR}/install/sinter-config.cmake
    ${PROJECT_BINARY_DIR}/install/sinter-config-version.cmake
    DESTINATION lib/cmake/sinter COMPONENT development)
  install(FILES ${PROJECT_BINARY_DIR}/install/sinter.pc DESTINATION lib/pkgconfig
    COMPONENT development)
  install(FILES ${PROJECT_SOURCE_DIR}/examples/answer.c ${PROJECT_SOURCE_DIR}/examples/many.cpp
    ${PROJECT_SOURCE_DIR}/examples/CMakeLists.txt
    DESTINATION share/doc/sinter/examples COMPONENT development)
endif()
