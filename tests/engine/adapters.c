/* A layer's weight with adapters kept apart: whole, in part, on a stack; and
 * adapters that do not fit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"
#include "engine/nets/builder.h"

#include <math.h>

/* A 3×3 convolution of 5 channels to 4, C-LoRA of rank 2, D-LoRA of rank 4. */
#define O 4
#define I 5
#define TAPS 9
#define N_BASE (O * I * TAPS)
#define N_DOWN(rank) (rank * I * TAPS)
#define N_UP(rank) (O * rank)
#define N_ALL (N_BASE + N_DOWN (2) + N_UP (2) + N_DOWN (4) + N_UP (4))

typedef struct
{
  float base[O][I * TAPS];
  float down2[2][I * TAPS], up2[O][2];
  float down4[4][I * TAPS], up4[O][4];
} Layer;

/* Fixtures: little-endian f32, as the struct lies in memory. */
static char *
write_layer (const char *name, Layer *layer, const char *down2_shape)
{
  GRand *rand = g_rand_new_with_seed (3);
  g_autofree char *header = NULL;
  float *values = (float *) layer;

  for (int i = 0; i < N_ALL; i++)
    values[i] = g_rand_double_range (rand, -1, 1);
  g_rand_free (rand);
  header = g_strdup_printf ("{"
      "\"l.weight\":{\"dtype\":\"F32\",\"shape\":[4,5,3,3],"
      "\"data_offsets\":[0,720]},"
      "\"l.lora_A.consistency\":{\"dtype\":\"F32\",\"shape\":%s,"
      "\"data_offsets\":[720,1080]},"
      "\"l.lora_B.consistency\":{\"dtype\":\"F32\",\"shape\":[4,2,1,1],"
      "\"data_offsets\":[1080,1112]},"
      "\"l.lora_A.detail\":{\"dtype\":\"F32\",\"shape\":[4,5,3,3],"
      "\"data_offsets\":[1112,1832]},"
      "\"l.lora_B.detail\":{\"dtype\":\"F32\",\"shape\":[4,4],"
      "\"data_offsets\":[1832,1896]}}", down2_shape);
  return corpus_write (name, header, layer, sizeof *layer);
}

static double
merged (const Layer *l, int o, int k)
{
  double w = l->base[o][k];

  for (int r = 0; r < 2; r++)
    w += 8. / 2 * l->up2[o][r] * l->down2[r][k];
  for (int r = 0; r < 4; r++)
    w += 8. / 4 * l->up4[o][r] * l->down4[r][k];
  return w;
}

/* Channels [first, first + n) of the weight against the sums. */
static void
check_slice (const Layer *layer, DloralBuilder *b, int first, int n)
{
  const DloralWeight *w = dloral_builder_weight_slice (b, "l.weight", O, I, 3,
      3, first, n);
  float values[N_BASE];

  g_assert_no_error (b->error);
  g_assert_cmpint (w->i, ==, n);
  w->fill (w, values);
  for (int o = 0; o < O; o++)
    for (int k = 0; k < n * TAPS; k++)
      g_assert_cmpfloat (fabs (values[o * n * TAPS + k]
              - merged (layer, o, first * TAPS + k)), <, 1e-5);
}

static void
test_merged (void)
{
  Layer layer;
  GError *error = NULL;
  g_autofree char *path = write_layer ("adapters", &layer, "[2,5,3,3]");
  DloralSafetensors *file = dloral_safetensors_open (path, &error);
  DloralGraph *g = dloral_graph_new ("test", DLORAL_F32);
  DloralBuilder *b;
  g_autofree float *whole = NULL;

  g_assert_no_error (error);
  b = dloral_builder_new (g, file, NULL);
  check_slice (&layer, b, 0, I);
  check_slice (&layer, b, 0, 2);
  check_slice (&layer, b, 2, 3);
  whole = dloral_builder_read (b, "l.weight", O, I, 3, 3);
  for (int i = 0; i < N_BASE; i++)
    g_assert_cmpfloat (fabs (whole[i] - merged (&layer, i / (I * TAPS),
                i % (I * TAPS))), <, 1e-5);
  g_assert_true (dloral_builder_finish (b, NULL));
  dloral_graph_free (g);
  dloral_safetensors_free (file);
}

static void
test_misfit (void)
{
  Layer layer;
  GError *error = NULL;
  g_autofree char *path = write_layer ("misfit", &layer, "[2,3,3,5]");
  DloralSafetensors *file = dloral_safetensors_open (path, &error);
  DloralGraph *g = dloral_graph_new ("test", DLORAL_F32);
  DloralBuilder *b = dloral_builder_new (g, file, NULL);

  g_assert_null (dloral_builder_weight (b, "l.weight", O, I, 3, 3));
  g_assert_false (dloral_builder_finish (b, &error));
  corpus_check_error (&error, DLORAL_ERROR_FILE, path, (const char *[]) {
        "l.lora_A.consistency", "[2, 5, 3, 3]", "[2, 3, 3, 5]", NULL });
  dloral_graph_free (g);
  dloral_safetensors_free (file);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  corpus_init ();
  g_test_add_func ("/adapters/merged", test_merged);
  g_test_add_func ("/adapters/misfit", test_misfit);
  result = g_test_run ();
  corpus_done ();
  return result;
}
