/* The decoder that says which labels a picture has (Query2Label, Liu et al. 2021,
 * as the published RAM builds it of BERT's layers without self-attention).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "builder.h"

G_BEGIN_DECLS

/* Tokens of a picture [n][1][channels] and embeddings of the labels
 * [tags][1][projection_dim], both f32, to what the layers take: writes `seen`
 * [n][1][projection_dim] and `queries` [tags][1][hidden_size]. */
void dloral_query2label_project (DloralBuilder * b,
    const DloralTaggerConfig * config, DloralTensor * tokens,
    DloralTensor * labels, DloralTensor * seen, DloralTensor * queries);

/* Layer i. Writes y, of the shape of `queries`; the last layer: f32 [tags][1][1],
 * the labels' logits. */
void dloral_query2label_layer (DloralBuilder * b,
    const DloralTaggerConfig * config, int i, DloralTensor * seen,
    DloralTensor * queries, DloralTensor * y);

G_END_DECLS
