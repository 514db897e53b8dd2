# Defines the target rebound_httplib: cpp-httplib, the HTTP server behind `rebound serve`. Debian's is a
# compiled library whose flags stand in its .pc file; elsewhere the project's own CMake package.
add_library(rebound_httplib INTERFACE)
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(HTTPLIB QUIET IMPORTED_TARGET cpp-httplib>=0.11)
endif()
if(HTTPLIB_FOUND)
  # OpenSSL is in the header's face (CPPHTTPLIB_OPENSSL_SUPPORT), not in the .pc file's libraries.
  find_package(OpenSSL REQUIRED COMPONENTS SSL)
  target_link_libraries(rebound_httplib INTERFACE PkgConfig::HTTPLIB OpenSSL::SSL)
else()
  find_package(httplib QUIET)
  if(NOT httplib_FOUND)
    message(FATAL_ERROR "cpp-httplib not found: run scripts/setup.sh (Debian package libcpp-httplib-dev)")
  endif()
  target_link_libraries(rebound_httplib INTERFACE httplib::httplib)
endif()
