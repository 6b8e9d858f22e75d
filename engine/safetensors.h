/* Reading a safetensors file: mapped, checked once, never copied.
 *
 * Everything the header claims is checked before it is believed: sizes against
 * the file, shapes against byte ranges, ranges against one another. After
 * dloral_safetensors_open () succeeds, every entry's `data` may be read in
 * full, as long as nobody shortens the file meanwhile: reading a page that is
 * no longer there raises SIGBUS. Replace a model file by renaming, never in
 * place.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "types.h"

G_BEGIN_DECLS

#define DLORAL_MAX_RANK 8

/* The errors of the engine, as users meet them. Messages are one sentence:
 * what, where, expected, found, what to do. */
#define DLORAL_ERROR (dloral_error_quark ())
GQuark dloral_error_quark (void);

typedef enum
{
  DLORAL_ERROR_NOT_FOUND,       /* no such file, or it cannot be read */
  DLORAL_ERROR_FILE,            /* the file is not what it should be */
  DLORAL_ERROR_CONFIG,          /* the config asks for the impossible */
  DLORAL_ERROR_SCALES,          /* the file has no scales, which the precision
                                 * needs */
  DLORAL_ERROR_MEMORY,          /* not enough memory */
  DLORAL_ERROR_DEVICE,          /* the device or its library failed */
  DLORAL_ERROR_DEVICE_LOST,     /* likewise, for as long as the process lives */
  DLORAL_ERROR_ARGUMENT,        /* a caller's value is out of range */
  DLORAL_ERROR_CANCELLED,       /* somebody wanted no more */
} DloralError;

/* An entry's dtype when the engine reads no such elements (I64, F64, …). */
#define DLORAL_DTYPE_FOREIGN ((DloralDtype) -1)

/* One tensor of the file. `data` points into the mapping, `size` is in bytes;
 * elements are little-endian and possibly unaligned. */
typedef struct
{
  const char *name;
  const char *type;             /* the file's word for it: "F16", "I64", … */
  DloralDtype dtype;
  int rank;
  gint64 shape[DLORAL_MAX_RANK];
  const guint8 *data;
  gsize size;
} DloralEntry;

typedef struct _DloralSafetensors DloralSafetensors;

/* Maps and checks `path`. NULL and `error` when anything is wrong with it. The
 * result is immutable, safe to share between threads, freed by its owner with
 * dloral_safetensors_free (). */
DloralSafetensors *dloral_safetensors_open (const char *path, GError ** error);
void dloral_safetensors_free (DloralSafetensors * file);

/* The path it was opened with, as UTF-8 for messages. */
const char *dloral_safetensors_get_path (const DloralSafetensors * file);

/* The value of a `__metadata__` key, or NULL. Owned by the file. */
const char *dloral_safetensors_get_metadata (const DloralSafetensors * file,
    const char *key);

/* The tensor of that name, or NULL. Owned by the file. */
const DloralEntry *dloral_safetensors_find (const DloralSafetensors * file,
    const char *name);

/* As above, and it must have exactly this float shape (`shape` [rank]); else
 * NULL and an error naming file, tensor, what was expected and found. F32, F16
 * and BF16 pass. A trailing run of 1s may be missing or extra, so that a 1×1
 * convolution and a linear layer read the same. Empty tensors never pass. */
const DloralEntry *dloral_safetensors_require (const DloralSafetensors * file,
    const char *name, int rank, const gint64 * shape, GError ** error);

/* Elements [first, first + n) of a float entry as f32. The range must lie
 * inside the entry. */
void dloral_entry_read_f32 (const DloralEntry * entry, gsize first, gsize n,
    float *dst);

G_END_DECLS
