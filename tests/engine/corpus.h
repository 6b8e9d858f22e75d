/* Makes model files, good and broken, in a directory of the test's own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/config.h"

G_BEGIN_DECLS

/* Makes the directory; corpus_done () removes it and all files in it. */
void corpus_init (void);
void corpus_done (void);

/* A path in the directory; to be freed. */
char *corpus_path (const char *name);

/* Writes bytes [size] as the file `path`. */
void corpus_write_bytes (const char *path, gconstpointer bytes, gsize size);

/* The bytes of a safetensors file: header with its length before it, then data
 * [size], or zeros where data is NULL. */
GByteArray *corpus_make (const char *header, gconstpointer data, gsize size);

/* A header with `config` in its metadata, format "dloral", and `tensors`, the
 * text of further members or "". To be freed. */
char *corpus_make_header (const char *config, const char *tensors);

/* A file of these parts, named `name`; its path, to be freed. */
char *corpus_write (const char *name, const char *header, gconstpointer data,
    gsize size);

/* A copy of the safetensors file `path` with the first `from` replaced, named `name`;
 * its path, to be freed. */
char *corpus_edit (const char *path, const char *name, const char *from,
    const char *to);

/* Fails the test unless `error` has this code and one printable line that
 * contains `path` and all of words [up to NULL, or 4]; clears it. */
void corpus_check_error (GError ** error, DloralError code, const char *path,
    const char *const *words);

/* A config of every key, like SD 2.1's but narrow. */
extern const char *const corpus_config;

/* The text of a tensor's description in a header. */
#define CORPUS_TENSOR(type, shape, begin, end) \
  "{\"dtype\":\"" type "\",\"shape\":[" shape "]," \
  "\"data_offsets\":[" begin "," end "]}"

G_END_DECLS
