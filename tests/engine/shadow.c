/* Watched memory, each piece cut where accesses to it begin and end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "shadow.h"

#define MAX_READERS 8           /* actors that read one range between writes */

typedef struct
{
  gsize begin, end;
  ShadowAccess write, reads[MAX_READERS];
  guint n_reads;
} Segment;

typedef struct
{
  ShadowSpace space;
  guintptr address;
  gsize size;
  GArray *segments;             /* Segment, ascending, without gaps */
} Memory;

static GPtrArray *memories, *reports;

static void
memory_free (gpointer data)
{
  Memory *m = data;

  g_array_unref (m->segments);
  g_free (m);
}

void
shadow_reset (void)
{
  g_clear_pointer (&memories, g_ptr_array_unref);
  g_clear_pointer (&reports, g_ptr_array_unref);
  memories = g_ptr_array_new_with_free_func (memory_free);
  reports = g_ptr_array_new_with_free_func (g_free);
}

void
shadow_report (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (reports, g_strdup_vprintf (format, args));
  va_end (args);
}

GPtrArray *
shadow_take_reports (void)
{
  GPtrArray *taken = reports;

  reports = g_ptr_array_new_with_free_func (g_free);
  return taken;
}

/* --- Pieces of memory -------------------------------------------------------- */

static Memory *
find_memory (ShadowSpace space, guintptr address)
{
  for (guint i = 0; i < memories->len; i++) {
    Memory *m = memories->pdata[i];

    if (m->space == space && address >= m->address &&
        address < m->address + m->size)
      return m;
  }
  return NULL;
}

void
shadow_add (ShadowSpace space, guintptr address, gsize size)
{
  Memory *m = g_new (Memory, 1);
  Segment whole = { 0, size, { { 0, 0 }, NULL, 0 }, { { { 0, 0 }, NULL, 0 } }, 0 };

  *m = (Memory) { space, address, size,
    g_array_new (FALSE, FALSE, sizeof (Segment)) };
  g_array_append_val (m->segments, whole);
  g_ptr_array_add (memories, m);
}

gboolean
shadow_has (ShadowSpace space, guintptr address)
{
  return find_memory (space, address) != NULL;
}

guint
shadow_count (void)
{
  return memories->len;
}

/* The segment that begins at the offset, made if there is none; the number of
 * segments where the offset is the end. */
static guint
cut (Memory *m, gsize offset)
{
  for (guint i = 0; i < m->segments->len; i++) {
    Segment *s = &g_array_index (m->segments, Segment, i), rest;

    if (s->begin == offset)
      return i;
    if (offset < s->end) {
      rest = *s;
      rest.begin = s->end = offset;
      g_array_insert_val (m->segments, i + 1, rest);
      return i + 1;
    }
  }
  return m->segments->len;
}

/* --- Accesses ---------------------------------------------------------------- */

static char *
describe (const ShadowAccess *access)
{
  if (access->frames == 0)
    return g_strdup_printf ("%s (actor %u)", access->what,
        access->step.actor);
  return g_strdup_printf ("%s of frame %d (actor %u)", access->what,
      g_bit_nth_msf (access->frames, -1), access->step.actor);
}

static void
check_order (const ShadowAccess *earlier, const ShadowAccess *access)
{
  g_autofree char *one = NULL, *other = NULL;

  if (earlier->what == NULL ||
      hb_is_before (earlier->step, hb_get_clock (access->step.actor)))
    return;
  one = describe (earlier);
  other = describe (access);
  shadow_report ("nothing orders “%s” and “%s”", one, other);
}

static guint64
read_segment (Segment *s, const ShadowAccess *access)
{
  guint i = 0;

  check_order (&s->write, access);
  while (i < s->n_reads && s->reads[i].step.actor != access->step.actor)
    i++;
  g_assert (i < MAX_READERS);
  s->reads[i] = *access;
  s->reads[i].frames |= s->write.frames;
  s->n_reads = MAX (s->n_reads, i + 1);
  return s->write.frames;
}

static void
write_segment (Segment *s, const ShadowAccess *access)
{
  check_order (&s->write, access);
  for (guint i = 0; i < s->n_reads; i++)
    check_order (&s->reads[i], access);
  s->write = *access;
  s->n_reads = 0;
}

/* The memory that holds all of the range, cut at its ends; or NULL, reported. */
static Memory *
find_range (ShadowSpace space, guintptr address, gsize size,
    const ShadowAccess *access, guint *first, guint *end)
{
  Memory *m = find_memory (space, address);
  g_autofree char *what = NULL;

  if (m && size <= m->address + m->size - address) {
    *first = cut (m, address - m->address);
    *end = cut (m, address - m->address + size);
    return m;
  }
  what = describe (access);
  shadow_report (m ? "“%s” goes beyond the memory's end" :
      "“%s” is of memory that is not there", what);
  return NULL;
}

guint64
shadow_read (ShadowSpace space, guintptr address, gsize size,
    const ShadowAccess *access)
{
  gboolean unwritten = FALSE;
  guint first, end;
  Memory *m = find_range (space, address, size, access, &first, &end);
  guint64 frames = 0;

  for (guint i = first; m && i < end; i++) {
    Segment *s = &g_array_index (m->segments, Segment, i);

    unwritten |= s->write.what == NULL;
    frames |= read_segment (s, access);
  }
  if (unwritten) {
    g_autofree char *what = describe (access);

    shadow_report ("“%s” is of bytes that nobody wrote", what);
  }
  return frames;
}

void
shadow_write (ShadowSpace space, guintptr address, gsize size,
    const ShadowAccess *access)
{
  guint first, end;
  Memory *m = find_range (space, address, size, access, &first, &end);

  for (guint i = first; m && i < end; i++)
    write_segment (&g_array_index (m->segments, Segment, i), access);
}

void
shadow_remove (ShadowSpace space, guintptr address,
    const ShadowAccess *access)
{
  Memory *m = find_memory (space, address);

  if (m == NULL || m->address != address) {
    shadow_report ("“%s” is of memory that is not there", access->what);
    return;
  }
  shadow_write (space, address, m->size, access);
  g_ptr_array_remove_fast (memories, m);
}
