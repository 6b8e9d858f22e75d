/* The tiny coders: TAESD (pictures to latents and back) and the decoder of
 * TAESDV, which remembers one frame. Both stand in for AutoencoderKL: their
 * latents are scaled already, its mean × scaling_factor.
 *
 * A model file has them as `tiny.encoder.`, `tiny.decoder.` and
 * `tiny.video_decoder.` + the published name. Decoding takes the last one where
 * it is there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "builder.h"

G_BEGIN_DECLS

/* x: picture in [-1, 1], f32 [H][W][3]. Writes the latent, f32
 * [H/8][W/8][latent_channels]. */
void dloral_taesd_encode (DloralBuilder * b, DloralTensor * x,
    DloralTensor * latent);

/* latent f32 → f32 [8·h][8·w][3] in [-1, 1].
 *
 * Each block of TAESDV's decoder sees its own input of the frame before. For
 * each the graph gets two bound tensors: what the block remembers, and what it
 * shall remember. forget: there is no frame before, and the first of each pair
 * is left alone. */
DloralTensor *dloral_taesd_decode (DloralBuilder * b, DloralTensor * latent,
    gboolean forget);

/* Whether the file's tiny decoder remembers a frame. */
gboolean dloral_taesd_remembers (const DloralSafetensors * file);

G_END_DECLS
