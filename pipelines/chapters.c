/* Chapters of a part of a file, see chapters.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "chapters.h"

static GstTocEntry *cut_entry (GstTocEntry * entry, gint64 start, gint64 stop);

/* Appends what is left of the entry's own entries to `cut`. */
static void
cut_children (GstTocEntry * entry, GstTocEntry * cut, gint64 start,
    gint64 stop)
{
  for (GList * l = gst_toc_entry_get_sub_entries (entry); l; l = l->next) {
    GstTocEntry *child = cut_entry (l->data, start, stop);

    if (child)
      gst_toc_entry_append_sub_entry (cut, child);
  }
}

/* NULL when nothing is left. An entry without times, as an edition is, stays. */
static GstTocEntry *
cut_entry (GstTocEntry * entry, gint64 start, gint64 stop)
{
  GstTagList *tags = gst_toc_entry_get_tags (entry);
  GstTocEntry *cut;
  gint64 from, to;
  gboolean timed = gst_toc_entry_get_start_stop_times (entry, &from, &to);

  if (timed && ((to >= 0 && to <= start) || from >= stop))
    return NULL;
  cut = gst_toc_entry_new (gst_toc_entry_get_entry_type (entry),
      gst_toc_entry_get_uid (entry));
  if (tags)
    gst_toc_entry_set_tags (cut, gst_tag_list_ref (tags));
  if (timed)
    gst_toc_entry_set_start_stop_times (cut, MAX (from, start) - start,
        to < 0 ? to : MIN (to, stop) - start);
  cut_children (entry, cut, start, stop);
  return cut;
}

GstToc *
chapters_cut (GstToc * toc, GstClockTime start, GstClockTime stop)
{
  gint64 last = GST_CLOCK_TIME_IS_VALID (stop) ? (gint64) stop : G_MAXINT64;
  GstToc *cut = gst_toc_new (gst_toc_get_scope (toc));
  GstTagList *tags = gst_toc_get_tags (toc);

  if (tags)
    gst_toc_set_tags (cut, gst_tag_list_ref (tags));
  for (GList * l = gst_toc_get_entries (toc); l; l = l->next) {
    GstTocEntry *entry = cut_entry (l->data, start, last);

    if (entry)
      gst_toc_append_entry (cut, entry);
  }
  return cut;
}
