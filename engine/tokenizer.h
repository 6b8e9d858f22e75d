/* CLIP's byte-pair encoding: from a prompt to token ids.
 *
 * The ids are those of transformers' fast tokenizer (CLIPTokenizerFast, what
 * AutoTokenizer gives). The slow one has ftfy mend the text first, or without
 * ftfy drops control characters and sets CJK characters apart, and it lowers a
 * final sigma as such; we do none of that. Special tokens inside the text count
 * as such, the padding token too: in SD 2.1 that is "!", whose id in a text is
 * therefore that of padding. Unicode is GLib's, which knows younger characters:
 * they may count as other signs there, and their combining marks keep their
 * order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "config.h"

G_BEGIN_DECLS

typedef struct _DloralTokenizer DloralTokenizer;

/* Whether the file has what dloral_tokenizer_new () reads: the tokenizer's
 * vocab.json and merges.txt as U8 tensors "tokenizer.vocab.json" and
 * "tokenizer.merges.txt". Cheap; does not read them. */
gboolean dloral_tokenizer_check (const DloralSafetensors * file,
    GError ** error);

/* Reads vocabulary and merges; every id is below vocab_size. NULL and `error`
 * when they are broken. Immutable, for any thread; needs `file` no longer. */
DloralTokenizer *dloral_tokenizer_new (const DloralSafetensors * file,
    const DloralTokenizerConfig * config, int vocab_size, GError ** error);
void dloral_tokenizer_free (DloralTokenizer * t);

/* Writes ids [max_length]: the text between begin and end, cut where it is too
 * long (beyond 8 KiB it is not looked at), padding behind. Bytes that are not
 * UTF-8 count as U+FFFD. */
void dloral_tokenizer_encode (const DloralTokenizer * t, const char *text,
    int *ids);

G_END_DECLS
