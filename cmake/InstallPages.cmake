# Run by cmake --install: manual pages and completions, made by the program that was built.
# Needs REBOUND_PROGRAM and REBOUND_PAGES, a folder to make them in.
file(MAKE_DIRECTORY ${REBOUND_PAGES})

function(rebound_run)
  execute_process(COMMAND ${REBOUND_PROGRAM} ${ARGN} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${REBOUND_PROGRAM} ${ARGN}: exit code ${code}")
  endif()
endfunction()

rebound_run(man --quiet --dir ${REBOUND_PAGES}/man1)
file(GLOB pages ${REBOUND_PAGES}/man1/*.1)
file(INSTALL DESTINATION ${CMAKE_INSTALL_PREFIX}/share/man/man1 TYPE FILE FILES ${pages})

foreach(place bash=bash-completion/completions/rebound zsh=zsh/site-functions/_rebound
              fish=fish/vendor_completions.d/rebound.fish)
  string(REPLACE "=" ";" parts ${place})
  list(GET parts 0 shell)
  list(GET parts 1 path)
  get_filename_component(folder ${path} DIRECTORY)
  get_filename_component(name ${path} NAME)
  rebound_run(completions ${shell} OUTPUT_FILE ${REBOUND_PAGES}/${name})
  file(INSTALL DESTINATION ${CMAKE_INSTALL_PREFIX}/share/${folder} TYPE FILE FILES ${REBOUND_PAGES}/${name})
endforeach()
