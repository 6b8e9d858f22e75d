/* What the tests of libcuda.so.1 on the CPU share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "on_cpu.h"

#include <glib.h>

#define assert_result(call, expected) \
  g_assert_cmpint (call, ==, expected)
#define assert_success(call) assert_result (call, CUDA_SUCCESS)

typedef struct
{
  CUcontext context;
  CUmodule module;
  CUstream stream;
} Fixture;

/* A device, current in this thread, with a stream; at the end nothing may be
 * left. */
void fixture_open (Fixture * fixture, gconstpointer data);
void fixture_close (Fixture * fixture, gconstpointer data);

CUfunction fixture_get_kernel (Fixture * fixture, const char *name);

/* Device memory with a copy of `data`, or garbage if that is NULL. */
CUdeviceptr fixture_upload (Fixture * fixture, const void *data, gsize size);
void fixture_download (Fixture * fixture, void *data, CUdeviceptr src,
    gsize size);

/* Launches n_blocks · n_threads in the fixture's stream; args as cuLaunchKernel
 * takes them. */
void fixture_launch (Fixture * fixture, const char *name, unsigned n_blocks,
    unsigned n_threads, unsigned shared, void **args);

void add_test (const char *path, void (*run) (Fixture *, gconstpointer),
    gconstpointer data);

/* Runs the present test once more in a process of its own, with a variable set
 * there; TRUE in that process. */
gboolean in_subprocess (const char *variable, const char *value);

void add_kernel_tests (void);
void add_stream_tests (void);
void add_capture_tests (void);
void add_context_tests (void);
void add_copy_tests (void);
void add_fault_tests (void);
