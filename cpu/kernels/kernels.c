/* Chooses the table of kernels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels.h"

#define DECLARE_LEVEL(level)                                                  \
  void dloral_channels_init_##level (DloralKernels * kernels);                \
  void dloral_planes_init_##level (DloralKernels * kernels);                  \
  void dloral_retrieval_init_##level (DloralKernels * kernels);               \
  void dloral_pictures_init_##level (DloralKernels * kernels);

#define INIT_LEVEL(table, level)                                              \
  G_STMT_START {                                                              \
    (table)->name = #level;                                                   \
    dloral_channels_init_##level (table);                                     \
    dloral_planes_init_##level (table);                                       \
    dloral_retrieval_init_##level (table);                                    \
    dloral_pictures_init_##level (table);                                        \
  } G_STMT_END

DECLARE_LEVEL (plain)
DECLARE_LEVEL (v3)
DECLARE_LEVEL (v4)
DECLARE_LEVEL (bf16)

static DloralKernels tables[DLORAL_N_LEVELS];
static const DloralKernels *current;

/* Fills the tables this CPU can run, each level's name left NULL where it
 * cannot, and chooses the best. */
static void
tables_init (void)
{
  INIT_LEVEL (&tables[DLORAL_LEVEL_PLAIN], plain);
  current = &tables[DLORAL_LEVEL_PLAIN];
#ifdef DLORAL_HAVE_X86_LEVELS
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma")
      && __builtin_cpu_supports ("bmi") && __builtin_cpu_supports ("bmi2")) {
    INIT_LEVEL (&tables[DLORAL_LEVEL_V3], v3);
    current = &tables[DLORAL_LEVEL_V3];
  }
  if (tables[DLORAL_LEVEL_V3].name && __builtin_cpu_supports ("avx512f")
      && __builtin_cpu_supports ("avx512bw")
      && __builtin_cpu_supports ("avx512cd")
      && __builtin_cpu_supports ("avx512dq")
      && __builtin_cpu_supports ("avx512vl")) {
    INIT_LEVEL (&tables[DLORAL_LEVEL_V4], v4);
    current = &tables[DLORAL_LEVEL_V4];
  }
  if (tables[DLORAL_LEVEL_V4].name
      && __builtin_cpu_supports ("avx512bf16")) {
    INIT_LEVEL (&tables[DLORAL_LEVEL_BF16], bf16);
    current = &tables[DLORAL_LEVEL_BF16];
  }
#endif
}

static void
tables_ensure (void)
{
  static gsize ready = 0;

  if (g_once_init_enter (&ready)) {
    tables_init ();
    g_once_init_leave (&ready, 1);
  }
}

const DloralKernels *
dloral_kernels_get (void)
{
  tables_ensure ();
  return current;
}

gboolean
dloral_kernels_select (DloralLevel level)
{
  tables_ensure ();
  if (level >= DLORAL_N_LEVELS || !tables[level].name)
    return FALSE;
  current = &tables[level];
  return TRUE;
}
