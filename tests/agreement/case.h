/* A case of the agreement test: a folder as make_case.py writes it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/safetensors.h"

G_BEGIN_DECLS

typedef struct
{
  char *model;                  /* path of the model file */
  DloralVae vae;                /* tiny where the model has it */
  int width, height;            /* of the LQ frames */
  int n_frames;
  /* Pictures exist from this frame on: 0, or 1 where the first frame was not
   * written. */
  int first_picture;
  char *lq_path;
  guint8 *lq;                   /* [n_frames][height][width][3] */
  /* By DloralColorFix: [n_frames - first_picture][4·height][4·width][3]. NULL:
   * none of that correction, which never happens to DLORAL_COLOR_FIX_NONE. */
  guint8 *pictures[DLORAL_COLOR_FIX_NONE + 1];
  DloralSafetensors *tensors;   /* "latent.0" … f32 [1][c][h][w] */
} AgreementCase;

/* The colour corrections there are pictures of; "adain" … as in file names and
 * properties. */
extern const DloralColorFix agreement_color_fixes[3];
const char *agreement_color_fix_get_name (DloralColorFix fix);

/* Reads all of a case; fails the running test when something of it is missing
 * or has a size that does not fit the rest. */
AgreementCase *agreement_case_require (const char *folder);
void agreement_case_free (AgreementCase * c);

/* Whether that frame begins anew, though it is not the first. */
gboolean agreement_case_is_cut (const AgreementCase * c, int frame);

/* Adds a test for each case in data/ and in the folders given, those of which
 * may be missing: their tests are skipped. `path` has a %s for the name. */
void agreement_add_cases (const char *path, int n_more, char **more,
    GTestDataFunc test);

/* Fails the running test unless pictures [n_bytes] are alike: no sample more
 * than 2 grey levels apart, and 99.9 % of them at most 1. */
void agreement_check_pictures (const char *what, const guint8 * found,
    const guint8 * expected, gsize n_bytes);

/* Peak signal to noise ratio in dB; G_MAXDOUBLE where nothing differs. */
double agreement_psnr (const guint8 * a, const guint8 * b, gsize n_bytes);

G_END_DECLS
