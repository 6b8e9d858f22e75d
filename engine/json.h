/* JSON from files nobody vouches for: json-glib behind a screen.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Parses text [length], NUL-terminated, one JSON object, strictly: no comments,
 * no key twice, no number that 64 bits cannot hold, no nesting beyond a few
 * levels, no object of more than max_keys (inside another: than a few hundred).
 * The result is the caller's (json_object_unref ()). NULL on failure, and
 * `problem` (to be freed) says "expected …, found …". */
JsonObject *dloral_json_parse (const char *text, gsize length, int max_keys,
    char **problem);

/* Enough for everything but a vocabulary. */
#define DLORAL_JSON_KEYS 8192

/* As above, an object of many more keys as several of few, in order (to be freed
 * with g_ptr_array_unref ()): time stays linear even when all keys have the same
 * hash. A key that comes again may be in another piece. */
GPtrArray *dloral_json_parse_pieces (const char *text, gsize length,
    int max_keys, char **problem);

/* Whether `node` is an integer, a number, a string; the value goes to *value.
 * A NULL node is none of them. */
gboolean dloral_json_get_int (JsonNode * node, gint64 * value);
gboolean dloral_json_get_number (JsonNode * node, double *value);
gboolean dloral_json_get_string (JsonNode * node, const char **value);

/* For messages: a string in quotes, and what a node (NULL: "nothing") holds.
 * Short and printable whatever the file says; to be freed. */
char *dloral_json_quote (const char *string);
char *dloral_json_describe (JsonNode * node);

G_END_DECLS
