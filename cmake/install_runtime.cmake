# Script that cmake --install runs. Copies SINTER_OBJECTS (shared libraries; a program is only
# read), all their dependencies and the loader to lib/sinter, with the licences of the packages that
# contain them.

set(destination $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/sinter)
set(copies ${SINTER_LOADER})

foreach(object IN LISTS SINTER_OBJECTS)
  execute_process(
    COMMAND ${SINTER_LOADER} --library-path ${SINTER_SEARCH} --list ${object}
    OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
  if(listing MATCHES "([^ \t\n]+) => not found")
    message(FATAL_ERROR "${object} needs ${CMAKE_MATCH_1}, which is not there")
  endif()
  if(object MATCHES "\\.so")
    list(APPEND copies ${object})
  endif()
  # Each library has one line: `NAME => PATH (ADDRESS)`.
  string(REGEX MATCHALL "[^\n]+ => /[^\n]+ \\(" lines "${listing}")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[^\n]+ => (/.+) \\($" "\\1" path "${line}")
    list(APPEND copies ${path})
  endforeach()
endforeach()

# Installs each library under its soname, by which other libraries load it. The name of the symbolic
# link is the soname.
list(REMOVE_DUPLICATES copies)
foreach(file IN LISTS copies)
  get_filename_component(name ${file} NAME)
  get_filename_component(real ${file} REALPATH)
  file(COPY_FILE ${real} ${destination}/${name} ONLY_IF_DIFFERENT)
endforeach()
list(LENGTH copies count)
message(STATUS "Installed ${count} libraries to ${destination}")

set(licences $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share/doc/sinter/licences)
file(MAKE_DIRECTORY ${licences})
file(GLOB packages LIST_DIRECTORIES true ${SINTER_SHARE}/doc/*)
# Host packages whose code is compiled into the program.
foreach(package libfmt-dev libcli11-dev libprotozero-dev nlohmann-json3-dev)
  list(APPEND packages /usr/share/doc/${package})
endforeach()
foreach(package IN LISTS packages)
  get_filename_component(name ${package} NAME)
  # A package may share its licence with another one through a link to that package's folder.
  get_filename_component(real ${package}/copyright REALPATH)
  if(name MATCHES "^(lib|gcc|mesa|nlohmann|zlib)" AND EXISTS ${real})
    file(COPY_FILE ${real} ${licences}/${name} ONLY_IF_DIFFERENT)
  endif()
endforeach()
