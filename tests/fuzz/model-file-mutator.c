/* Mutations of a model file that keep what random ones break at once: the length
 * before its header.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "target.h"

#include <string.h>

#define PREFIX 8                /* bytes of header length */

size_t LLVMFuzzerMutate (uint8_t * data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator (uint8_t * data, size_t size, size_t max_size,
    unsigned int seed);

/* Header and data lie in bytes [PREFIX, size), the data from `middle` on: one
 * of them is mutated, its length kept right. */
static size_t
mutate_part (uint8_t *data, size_t middle, size_t size, size_t max_size,
    gboolean header)
{
  g_autofree uint8_t *tail = g_memdup2 (data + middle, size - middle);
  size_t n_tail = size - middle, n;
  guint64 length;

  if (max_size - PREFIX <= n_tail)
    header = FALSE;
  if (!header)
    return middle + LLVMFuzzerMutate (data + middle, n_tail, max_size - middle);
  n = LLVMFuzzerMutate (data + PREFIX, middle - PREFIX,
      max_size - PREFIX - n_tail);
  if (n_tail > 0)
    memcpy (data + PREFIX + n, tail, n_tail);
  length = GUINT64_TO_LE ((guint64) n);
  memcpy (data, &length, sizeof length);
  return PREFIX + n + n_tail;
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size,
    unsigned int seed)
{
  guint64 length;

  if (size >= PREFIX && seed % 16 != 0) {
    memcpy (&length, data, sizeof length);
    length = GUINT64_FROM_LE (length);
    if (length <= size - PREFIX)
      return mutate_part (data, PREFIX + length, size, max_size,
          seed / 16 % 4 != 0);
  }
  return LLVMFuzzerMutate (data, size, max_size);
}
