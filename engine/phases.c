/* Summing a kernel's rows and columns for each phase.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "phases.h"

/* Which of a phase's two taps takes tap k of three: an even row of the enlarged
 * picture is the same as the next one, an odd row as the one before. */
static int
get_tap (int k, int pad)
{
  return (k + pad) / 2;
}

/* In double, so that each sum is rounded once. */
static void
sum_taps (const DloralPhase *phase, const float *kernel, float *dst)
{
  double sums[4] = { 0 };

  for (int y = 0; y < 3; y++)
    for (int x = 0; x < 3; x++)
      sums[2 * get_tap (y, phase->pad_top) + get_tap (x, phase->pad_left)] +=
          kernel[3 * y + x];
  for (int i = 0; i < 4; i++)
    dst[i] = sums[i];
}

static void
fill (const DloralWeight *weight, float *dst)
{
  const DloralPhase *phase = weight->data;
  DloralPhases *phases = phase->phases;
  gsize n = (gsize) weight->o * weight->i;

  if (phases->values == NULL) {
    phases->values = g_new (float, 9 * n);
    phases->whole->fill (phases->whole, phases->values);
  }
  for (gsize k = 0; k < n; k++)
    sum_taps (phase, phases->values + 9 * k, dst + 4 * k);
}

void
dloral_phases_init (DloralPhases *phases, const DloralWeight *whole)
{
  g_assert (whole->kh == 3 && whole->kw == 3);
  *phases = (DloralPhases) { .whole = whole };
  for (int p = 0; p < DLORAL_N_PHASES; p++) {
    DloralPhase *phase = &phases->phase[p];

    phase->phases = phases;
    phase->pad_top = 1 - p / 2;
    phase->pad_left = 1 - p % 2;
    phase->weight = (DloralWeight) {
      .key = g_strdup_printf ("%s(phase %d)", whole->key, p),
      .o = whole->o,.i = whole->i,.kh = 2,.kw = 2,.fill = fill,.data = phase
    };
  }
}

void
dloral_phases_trim (DloralPhases *phases)
{
  g_clear_pointer (&phases->values, g_free);
}

void
dloral_phases_clear (DloralPhases *phases)
{
  dloral_phases_trim (phases);
  for (int p = 0; p < DLORAL_N_PHASES; p++)
    g_clear_pointer (&phases->phase[p].weight.key, g_free);
}
