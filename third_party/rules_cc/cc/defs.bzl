"""Stand-in for rules_cc: the C++ rules that Bazel 4 has built in.

Bazel's own tools load these names from @rules_cc when they define the
toolchains, which happens before any Python test can run.
"""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_import = native.objc_import
objc_library = native.objc_library
