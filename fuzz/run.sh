#!/bin/sh
# Fuzzes the file readers of src/rebound/io with clang's libFuzzer, address and undefined-behaviour
# sanitizers:  fuzz/run.sh [seconds per target, default 60]
# Needs clang++ with its runtimes, nlohmann-json3-dev, libssl-dev, zlib1g-dev. Builds in build/fuzz/ and keeps
# its corpora there; a finding is left beside them as crash-* and ends the script with an error.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/.."
out=${REBOUND_FUZZ_DIR:-build/fuzz}
mkdir -p "$out"

sources="src/rebound/base/file.cpp src/rebound/base/json.cpp
  src/rebound/io/dequantize.cpp src/rebound/io/gguf.cpp src/rebound/io/gguf_metadata.cpp
  src/rebound/io/mapped_file.cpp src/rebound/io/npz.cpp src/rebound/io/pickle.cpp
  src/rebound/io/safetensors.cpp src/rebound/io/tensor_table.cpp src/rebound/io/tensor_view.cpp
  src/rebound/io/torch_file.cpp src/rebound/io/zip.cpp"
flags="-std=c++20 -O1 -g1 -Isrc -ffp-contract=off"
sanitizers="-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"

for target in safetensors gguf npz pt; do
  echo "fuzz: building $target"
  # shellcheck disable=SC2086
  "${CXX:-clang++}" $flags $sanitizers "fuzz/${target}_fuzz.cpp" $sources -lcrypto -lz \
    -o "$out/${target}_fuzz"
  mkdir -p "$out/$target"
  cp "tests/io/golden/python.$target" "$out/$target/seed"
  echo "fuzz: $target for $seconds s"
  "$out/${target}_fuzz" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=1024 \
    -malloc_limit_mb=64 -timeout=10 -dict="fuzz/$target.dict" -print_final_stats=1 \
    -verbosity=0 -print_funcs=0 -artifact_prefix="$out/crash-$target-" "$out/$target"
done
echo "fuzz: no findings"
