/* The kinds of file that are written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

typedef enum
{
  CONTAINER_MATROSKA,
  CONTAINER_MP4,
  CONTAINER_WEBM,
} Container;
