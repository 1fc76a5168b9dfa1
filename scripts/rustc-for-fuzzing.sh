#!/bin/sh
# The compiler of `make fuzz`: cargo calls it for the packages of this workspace alone (RUSTC_WORKSPACE_WRAPPER), so that
# every dependency comes as it is from the ordinary build. It adds the counters and the traced comparisons by which
# libFuzzer sees what an input reached. They are a pass of LLVM, which stable Rust has too.
rustc=$1
shift
case " $* " in
*" --crate-name build_script_"*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
