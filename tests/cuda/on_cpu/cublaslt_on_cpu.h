/* What tests may ask of the stand-in for libcublasLt.so.13, beyond cuBLASLt's own
 * functions. Any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the call-th call from now on fail with `status`, once; 0: none. All
 * functions that return a status count. A destruction that is made to fail
 * destroys all the same. */
void cublaslt_on_cpu_fail_at (long call, int status);

/* Calls so far. */
long cublaslt_on_cpu_get_calls (void);

/* Handles and descriptors alive. */
long cublaslt_on_cpu_get_descriptors (void);

#ifdef __cplusplus
}
#endif
