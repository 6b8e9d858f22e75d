/* Memory that is not there, or is and is only watched: who wrote each byte, who
 * has read it since, and which frames what it holds was made from.
 *
 * Relies on happens_before.h, under whose lock all of this is called.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "happens_before.h"

G_BEGIN_DECLS

/* The host's has real addresses; those of a device stand for themselves. */
typedef enum
{
  SHADOW_HOST,
  SHADOW_DEVICE,
  SHADOW_N_SPACES
} ShadowSpace;

/* Something done to a range of bytes. */
typedef struct
{
  HbStep step;
  const char *what;             /* interned; NULL: nothing was done */
  guint64 frames;               /* bit t: made from frame t */
} ShadowAccess;

/* Forgets all memory and all that was reported. */
void shadow_reset (void);

void shadow_add (ShadowSpace space, guintptr address, gsize size);
/* Being freed counts as being written. */
void shadow_remove (ShadowSpace space, guintptr address,
    const ShadowAccess * access);
gboolean shadow_has (ShadowSpace space, guintptr address);
guint shadow_count (void);

/* What is wrong with it is reported: bytes that are nobody's, that nobody has
 * written, or an access to them of which it is not known whether it comes before
 * or after. Reading returns the frames that the bytes were made from. */
guint64 shadow_read (ShadowSpace space, guintptr address, gsize size,
    const ShadowAccess * access);
void shadow_write (ShadowSpace space, guintptr address, gsize size,
    const ShadowAccess * access);

/* Adds to what is wrong. */
void shadow_report (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* What was reported, strings, to be unreffed; nothing is left here. */
GPtrArray *shadow_take_reports (void);

G_END_DECLS
