# Defines the target rebound_torch: the system's LibTorch, or the one inside a PyPI wheel.
# The wheel's own find_package(Torch) stops without a CUDA toolkit, so its libraries are imported here.
add_library(rebound_torch INTERFACE)
if(REBOUND_TORCH_WHEEL)
  if(NOT EXISTS ${REBOUND_TORCH_WHEEL}/include/torch/csrc/api/include/torch/torch.h)
    message(FATAL_ERROR "REBOUND_TORCH_WHEEL=${REBOUND_TORCH_WHEEL}: got no include/torch/..., "
                        "expected the folder `torch` of an installed PyPI wheel")
  endif()
  target_include_directories(rebound_torch SYSTEM INTERFACE
    ${REBOUND_TORCH_WHEEL}/include ${REBOUND_TORCH_WHEEL}/include/torch/csrc/api/include)
  set(wheel_libraries "")
  foreach(library torch torch_cpu c10 torch_cuda c10_cuda)
    if(EXISTS ${REBOUND_TORCH_WHEEL}/lib/lib${library}.so)
      string(APPEND wheel_libraries ",${REBOUND_TORCH_WHEEL}/lib/lib${library}.so")
    endif()
  endforeach()
  # All of them, asked for or not: torch_cuda tells LibTorch of CUDA by being loaded. One item, as CMake would drop the
  # second of two equal flags.
  target_link_libraries(rebound_torch INTERFACE
    -Wl,--push-state,--no-as-needed${wheel_libraries},--pop-state)
  target_link_options(rebound_torch INTERFACE -Wl,-rpath,${REBOUND_TORCH_WHEEL}/lib
                      -Wl,--allow-shlib-undefined)
else()
  find_package(Torch QUIET)
  if(NOT Torch_FOUND)
    message(FATAL_ERROR "LibTorch not found: run scripts/setup.sh, or set REBOUND_TORCH_WHEEL")
  endif()
  target_include_directories(rebound_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  target_link_libraries(rebound_torch INTERFACE ${TORCH_LIBRARIES})
endif()
