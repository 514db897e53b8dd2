# Defines the target rebound_dnnl when the system has oneDNN. A PyPI wheel of LibTorch carries a oneDNN of its own,
# whose symbols would meet the system's: no target then, and products are LibTorch's.
if(NOT REBOUND_TORCH_WHEEL)
  find_path(DNNL_INCLUDE_DIR dnnl.hpp)
  find_library(DNNL_LIBRARY dnnl)
  if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
    add_library(rebound_dnnl INTERFACE)
    target_include_directories(rebound_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
    target_link_libraries(rebound_dnnl INTERFACE ${DNNL_LIBRARY})
    target_compile_definitions(rebound_dnnl INTERFACE REBOUND_HAS_DNNL)
  else()
    message(STATUS "oneDNN (libdnnl-dev) not found: products with weights take LibTorch's road, up to twice as slow")
  endif()
endif()
