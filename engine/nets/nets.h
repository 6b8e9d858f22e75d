/* The networks of DLoRAL: functions that append themselves to a graph.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "builder.h"

G_BEGIN_DECLS

/* AutoencoderKL's encoder. x: picture in [-1, 1] after space-to-depth,
 * [H/p][W/p][3·p·p] with channels (dy, dx, rgb). Writes the latent: the
 * posterior's mean × scaling_factor, f32 [H/f][W/f][latent_channels]. */
void dloral_vae_encode (DloralBuilder * b, DloralTensor * x,
    DloralTensor * latent);

/* Its decoder: latent f32 → [H/p][W/p][3·p·p], channels (dy, dx, rgb). */
DloralTensor *dloral_vae_decode (DloralBuilder * b, DloralTensor * latent);

/* Optical flow from `ref` to `supp`, both f32 [h][w][3]: writes (u, v) in
 * pixels of that grid, f32 [h][w][2]. Ranjan & Black, CVPR 2017, as BasicVSR
 * uses it. */
void dloral_spynet (DloralBuilder * b, DloralTensor * ref,
    DloralTensor * supp, DloralTensor * flow);

/* Cross-frame retrieval (paper section 3.2): writes fused = z + what z finds
 * in `aligned`, all f32 [h][w][latent_channels]. */
void dloral_retrieval (DloralBuilder * b, DloralTensor * z,
    DloralTensor * aligned, DloralTensor * fused);

/* UNet2DConditionModel at the config's timestep, and the step that follows:
 * writes x0 = fused - UNet ([aligned, fused]), f32. Every cross-attention's keys
 * and values are bound tensors, listed in b->cross_kv. `tokens`: length of the
 * prompt; ignored without text. */
void dloral_unet (DloralBuilder * b, DloralTensor * aligned,
    DloralTensor * fused, int tokens, DloralTensor * x0);

/* What those bound tensors hold, computed from the prompt's embedding
 * [1][tokens][cross_attention_dim]; `prefixes` and `kv` as a builder that has
 * seen dloral_unet () lists them, bound again in the same order here. */
void dloral_unet_condition (DloralBuilder * b, DloralTensor * prompt,
    const GPtrArray * prefixes, const GPtrArray * kv);

G_END_DECLS
