#!/bin/sh
# Builds a libcuda.so.1 whose functions say that there is no device: what cuDNN
# needs to make plans from a description of a device where none is.
#
#   no-device.sh OUTPUT STUB CC...    STUB: the toolkit's lib64/stubs/libcuda.so
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

output=$1 stub=$2
shift 2
source=${output%/*}/no-device.c
{
  echo 'int cuDeviceGetCount (int *n) { *n = 0; return 0; }'
  echo 'int cuDriverGetVersion (int *v) { *v = 13000; return 0; }'
  nm -D --defined-only "$stub" | awk '$2 == "T" { print $3 }' | sort -u |
    grep -vxE 'cuDeviceGetCount|cuDriverGetVersion|_init|_fini' |
    sed 's/.*/int & (void) { return 100; }/' # CUDA_ERROR_NO_DEVICE
} > "$source"
"$@" -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$output" "$source"
