/* Linear layers on cuBLASLt, or on cuDNN after all: the two are timed, and which
 * was faster, with which algorithm, is kept on disk. Whatever of cuBLASLt fails
 * before the first run, there is cuDNN.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "quantize.h"

#include <math.h>
#include <string.h>

/* How many algorithms are timed. */
#define MAX_TIMED 6

typedef struct
{
  DloralCudaOp base;
  DloralCudaOp *cudnn;          /* NULL: not needed any more */
  DloralMatmul *matmul;         /* the same of this one */
  DloralMatmulAlgo algo;
  CUdeviceptr weight, bias;     /* 0: none, or not needed */
} Gemm;

/* It adds, but knows no activation of ours and no gate, and is not asked for fp8.
 * Everything is of the type that is multiplied, only what is added and the result may
 * be f32. */
static gboolean
suits (const DloralDevice *device, const DloralOp *op)
{
  DloralDtype type = op->src[0]->dtype;

  return device->cublaslt && !dloral_quantize_fits (device, op)
      && op->u.linear.act == DLORAL_ACT_NONE
      && !op->u.linear.geglu && type != DLORAL_F32
      && type == device->act_dtype
      && (op->dst->dtype == type || op->dst->dtype == DLORAL_F32)
      && (op->n_src == 1 || op->src[1]->dtype == op->dst->dtype);
}

/* --- The choice on disk --------------------------------------------------------- */

/* What it depends on beside the device, in a line. */
static char *
get_question (const Gemm *self)
{
  const DloralOp *op = self->base.op;
  const DloralTensor *x = op->src[0], *y = op->dst;

  return g_strdup_printf ("linear %d %d %d, types %d %d%s%s, cublaslt %"
      G_GSIZE_FORMAT, x->h * x->w, x->c, y->c, x->dtype, y->dtype,
      op->bias ? ", bias" : "", op->n_src > 1 ? ", residual" : "",
      self->base.device->cublaslt->api->cublasLtGetVersion ());
}

/* "cudnn", or "cublaslt", its workspace, and the algorithm's bytes. */
static void
keep_choice (const Gemm *self, const char *question, gboolean faster)
{
  g_autoptr (GString) answer = g_string_new (faster ? "cublaslt" : "cudnn");
  const guint8 *bytes = (const guint8 *) &self->algo.algo;

  if (faster)
    g_string_append_printf (answer, " %" G_GSIZE_FORMAT " ",
        self->algo.workspace);
  for (gsize i = 0; faster && i < sizeof self->algo.algo; i++)
    g_string_append_printf (answer, "%02x", bytes[i]);
  dloral_cudnn_keep (self->base.device->cudnn, question, answer->str);
}

static gboolean
read_algo (const char *text, DloralMatmulAlgo *algo)
{
  guint8 *bytes = (guint8 *) &algo->algo;
  char *hex;

  algo->workspace = g_ascii_strtoull (text, &hex, 10);
  if (*hex++ != ' ' || strlen (hex) != 2 * sizeof algo->algo)
    return FALSE;
  for (gsize i = 0; i < sizeof algo->algo; i++) {
    if (!g_ascii_isxdigit (hex[2 * i]) || !g_ascii_isxdigit (hex[2 * i + 1]))
      return FALSE;
    bytes[i] = g_ascii_xdigit_value (hex[2 * i]) << 4
        | g_ascii_xdigit_value (hex[2 * i + 1]);
  }
  return TRUE;
}

/* Whether a choice was kept that still can be made. */
static gboolean
recall_choice (Gemm *self, const char *question, gboolean *faster)
{
  g_autofree char *answer = dloral_cudnn_recall (self->base.device->cudnn,
      question);

  if (answer == NULL)
    return FALSE;
  *faster = g_str_has_prefix (answer, "cublaslt ");
  return *faster ? read_algo (strchr (answer, ' ') + 1, &self->algo)
      && dloral_matmul_accepts (self->matmul, &self->algo) :
      g_str_equal (answer, "cudnn");
}

/* --- Running -------------------------------------------------------------------- */

static gboolean
gemm_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Gemm *self = (Gemm *) base;
  const DloralOp *op = base->op;

  if (self->matmul == NULL)
    return self->cudnn->launch (self->cudnn, run, error);
  return dloral_matmul_run (self->matmul, &self->algo,
      dloral_cuda_get_data (run, op->src[0]), self->weight, op->n_src > 1 ?
      dloral_cuda_get_data (run, op->src[1]) : 0,
      dloral_cuda_get_data (run, op->dst), run->scratch, run->stream, error);
}

/* --- Choosing ------------------------------------------------------------------- */

static void
drop_cublaslt (Gemm *self)
{
  DloralCudaWeights *weights = self->base.device->weights;

  g_clear_pointer (&self->matmul, dloral_matmul_free);
  dloral_cuda_weights_release (weights, self->weight);
  dloral_cuda_weights_release (weights, self->bias);
  self->weight = self->bias = 0;
}

/* The fastest algorithm, and the seconds it takes. */
static double
time_algos (Gemm *self)
{
  DloralMatmulAlgo algos[MAX_TIMED], best = { 0 };
  int n = dloral_matmul_propose (self->matmul, MAX_TIMED, algos);
  double seconds = INFINITY;

  for (int i = 0; i < n; i++) {
    double time;

    self->algo = algos[i];
    self->base.scratch_size = algos[i].workspace;
    time = dloral_cuda_op_time (&self->base);
    if (time < seconds) {
      seconds = time;
      best = algos[i];
    }
  }
  self->algo = best;
  return seconds;
}

static gboolean
is_faster (Gemm *self)
{
  DloralCudnn *cudnn = self->base.device->cudnn;
  g_autofree char *question = get_question (self);
  double seconds, cudnn_seconds;
  gboolean faster;

  if (recall_choice (self, question, &faster))
    return faster;
  if (!dloral_check_cancelled (self->base.cancelled, NULL))
    return FALSE;
  dloral_cudnn_set_quiet (cudnn, TRUE);
  cudnn_seconds = dloral_cuda_op_time (self->cudnn);
  seconds = time_algos (self);
  dloral_cudnn_set_quiet (cudnn, FALSE);
  faster = seconds < cudnn_seconds;
  if (isfinite (cudnn_seconds)) /* no failure of the moment is kept */
    keep_choice (self, question, faster);
  return faster;
}

static gboolean
gemm_prepare (DloralCudaOp *base, GError **error)
{
  Gemm *self = (Gemm *) base;

  self->cudnn->cancelled = base->cancelled;
  if (!self->cudnn->prepare (self->cudnn, error))
    return FALSE;
  if (self->matmul && is_faster (self)) {
    base->how = g_strdup_printf ("cuBLASLt, %d KiB",
        (int) ((self->algo.workspace + 1023) / 1024));
    base->scratch_size = self->algo.workspace;
    dloral_cuda_op_free (g_steal_pointer (&self->cudnn));
    return TRUE;
  }
  drop_cublaslt (self);
  base->how = g_steal_pointer (&self->cudnn->how);
  base->scratch_size = self->cudnn->scratch_size;
  return TRUE;
}

/* --- The operator --------------------------------------------------------------- */

static void
gemm_free (DloralCudaOp *base)
{
  Gemm *self = (Gemm *) base;

  drop_cublaslt (self);
  if (self->cudnn)
    dloral_cuda_op_free (self->cudnn);
  g_free (self);
}

/* The bias has the result's type here, cuDNN's is always f32. */
static DloralMatmul *
make_matmul (Gemm *self)
{
  DloralDevice *device = self->base.device;
  const DloralOp *op = self->base.op;
  const DloralTensor *x = op->src[0];
  DloralMatmulParams params = { (gint64) x->h * x->w, x->c, op->dst->c,
    x->dtype, op->dst->dtype, 0, op->n_src > 1 };

  self->weight = dloral_cuda_weights_get (device->weights, op->weight,
      x->dtype, DLORAL_LAYOUT_OHWI, NULL);
  if (self->weight && op->bias)
    self->bias = dloral_cuda_weights_get (device->weights, op->bias,
        op->dst->dtype, DLORAL_LAYOUT_OIHW, NULL);
  params.bias = self->bias;
  return self->weight && (self->bias || op->bias == NULL) ?
      dloral_matmul_new (device->cublaslt, &params, NULL) : NULL;
}

DloralCudaOp *
dloral_cuda_gemm_new (DloralDevice *device, const DloralOp *op,
    DloralCudaOp *cudnn)
{
  Gemm *self;

  if (!suits (device, op))
    return cudnn;
  self = g_new0 (Gemm, 1);
  self->base.op = op;
  self->base.device = device;
  self->base.library = TRUE;
  self->base.prepare = gemm_prepare;
  self->base.launch = gemm_launch;
  self->base.free = gemm_free;
  self->cudnn = cudnn;
  self->matmul = make_matmul (self);
  return &self->base;
}
