/* A device that is not there, for programs that only make plans: cuDNN is the real
 * one and has its description; the driver does nothing, and weights are not
 * packed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cuda/device.h"

G_BEGIN_DECLS

/* json_path: its description; cache: the folder for finished plans, or NULL. Fails
 * the program where cuDNN cannot be had. */
DloralDevice *no_device_new (const char *json_path, const char *cache);

G_END_DECLS
