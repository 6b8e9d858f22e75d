/* A layer's weight in the model file, its adapters merged as it is read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/safetensors.h"

G_BEGIN_DECLS

/* C-LoRA ("consistency") and D-LoRA ("detail"). */
#define DLORAL_N_ADAPTERS 2

/* weight = base + Σ over adapters of strength · 8 / rank · up · down (peft with
 * its default alpha, 8). All data belong to the file. */
typedef struct
{
  int o, i, taps;               /* [o][i][taps] */
  const DloralEntry *base;
  struct
  {
    int rank;                   /* 0: no such adapter */
    float strength;
    const DloralEntry *down;    /* lora_A [rank][i][taps] */
    const DloralEntry *up;      /* lora_B [o][rank] */
  } adapters[DLORAL_N_ADAPTERS];
} DloralLayer;

/* Looks up `name` ("….weight", [o][i][kh][kw]) and its adapters, which a file may
 * have apart ("….lora_A.consistency") or not; their strengths are 1. FALSE and `error` when the tensor
 * or an adapter's half is missing or has a wrong shape. */
gboolean dloral_layer_find (DloralLayer * layer,
    const DloralSafetensors * file, const char *name, int o, int i, int kh,
    int kw, GError ** error);

/* Input channels [first, first + n) into dst [o][n][taps]. */
void dloral_layer_read (const DloralLayer * layer, int first, int n,
    float *dst);

G_END_DECLS
