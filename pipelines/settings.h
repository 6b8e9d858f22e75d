/* Options of the live programs that say how dloral restores.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  char *model;                  /* a file; NULL: the element's own */
  char *device;                 /* NULL: the element chooses */
  double consistency, detail;   /* 0 ... 2 */
} Settings;

/* Adds --model, --device, --consistency and --detail, and sets what holds
 * without them. `self` is not to go before `context`. */
void settings_add (Settings * self, GOptionContext * context);

/* After parsing: FALSE and `error` where the element could not be so. */
gboolean settings_check (const Settings * self, GError ** error);

/* The same for another option of a program, --`name`. */
gboolean settings_check_range (const char *name, int value, int min, int max,
    GError ** error);

void settings_apply (const Settings * self, GstElement * restore);
void settings_clear (Settings * self);

G_END_DECLS
