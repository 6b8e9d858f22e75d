/* Which device a test is about: what DLORAL_TEST_DEVICE names, "cuda" or "cpu";
 * else the best there is. So that tests of the engine run on each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

static inline DloralDeviceKind
test_get_device (void)
{
  const char *name = g_getenv ("DLORAL_TEST_DEVICE");

  if (name == NULL)
    return DLORAL_DEVICE_AUTO;
  g_assert_true (g_str_equal (name, "cuda") || g_str_equal (name, "cpu"));
  return g_str_equal (name, "cuda") ? DLORAL_DEVICE_CUDA :
      DLORAL_DEVICE_CPU;
}
