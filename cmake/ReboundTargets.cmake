# rebound_layer(NAME SOURCES ... DEPENDS ... [NO_TORCH])  one static library per layer
# rebound_test(NAME SOURCES ... DEPENDS ... [COST seconds])
#   One test executable and one ctest per layer. COST is about what it takes alone: the longest start first, so that
#   two at a time end together.
find_package(Threads REQUIRED)

add_library(rebound_flags INTERFACE)
target_compile_options(rebound_flags INTERFACE -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
target_include_directories(rebound_flags INTERFACE ${rebound_SOURCE_DIR}/src)
target_link_libraries(rebound_flags INTERFACE Threads::Threads)
if(REBOUND_SANITIZE)
  target_compile_options(rebound_flags INTERFACE
    -fsanitize=${REBOUND_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(rebound_flags INTERFACE -fsanitize=${REBOUND_SANITIZE})
endif()

if(REBOUND_PRECOMPILE)
  add_library(rebound_pch OBJECT ${rebound_SOURCE_DIR}/cmake/pch.cpp)
  target_link_libraries(rebound_pch PRIVATE rebound_flags rebound_torch)
  target_precompile_headers(rebound_pch PRIVATE <torch/torch.h>)
endif()

function(rebound_use_torch target)
  target_link_libraries(${target} PUBLIC rebound_torch)
  if(REBOUND_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM rebound_pch)
  endif()
endfunction()

function(rebound_layer name)
  cmake_parse_arguments(ARG "NO_TORCH" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(rebound_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(rebound_${name} PUBLIC rebound_flags ${ARG_DEPENDS})
  if(NOT ARG_NO_TORCH)
    rebound_use_torch(rebound_${name})
  endif()
endfunction()

function(rebound_test name)
  cmake_parse_arguments(ARG "NO_TORCH" "COST" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PUBLIC rebound_flags ${ARG_DEPENDS} GTest::gtest GTest::gtest_main)
  target_include_directories(${name}_test PRIVATE ${rebound_SOURCE_DIR}/tests)
  target_compile_definitions(${name}_test PRIVATE REBOUND_SOURCE_DIR="${rebound_SOURCE_DIR}"
                                                  REBOUND_BINARY_DIR="${rebound_BINARY_DIR}")
  if(NOT ARG_NO_TORCH)
    rebound_use_torch(${name}_test)
  endif()
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 ENVIRONMENT OMP_WAIT_POLICY=PASSIVE)
  if(ARG_COST)
    set_tests_properties(${name} PROPERTIES COST ${ARG_COST})
  endif()
endfunction()
