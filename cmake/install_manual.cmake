# Script that cmake --install runs. Writes the manual page and the completion scripts that
# SINTER_COMMAND prints to the folders under the prefix where man and the shells look for them.

function(_sinter_write file)
  execute_process(COMMAND ${SINTER_COMMAND} ${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  set(path $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share/${file})
  message(STATUS "Installing: ${path}")
  file(WRITE ${path} "${text}")
endfunction()

_sinter_write(man/man1/sinter.1 man)
_sinter_write(bash-completion/completions/sinter completion bash)
_sinter_write(zsh/site-functions/_sinter completion zsh)
_sinter_write(fish/vendor_completions.d/sinter.fish completion fish)
