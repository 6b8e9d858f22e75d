/* Making and running oneDNN primitives.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "primitive.h"

#include "device.h"

gboolean
dloral_dnnl_check (dnnl_status_t status, const DloralOp *op,
    const char *action, GError **error)
{
  const DloralTensor *s = op->src[0], *d = op->dst;

  if (status == dnnl_success)
    return TRUE;
  if (status == dnnl_out_of_memory)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY,
        "%s: not enough memory to %s (%s, %d×%d×%d to %d×%d×%d); "
        "smaller frames need less", op->scope, action,
        dloral_op_kind_get_name (op->kind), s->h, s->w, s->c, d->h, d->w,
        d->c);
  else
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "%s: oneDNN cannot %s (%s, %d×%d×%d to %d×%d×%d): %s", op->scope,
        action, dloral_op_kind_get_name (op->kind), s->h, s->w, s->c, d->h,
        d->w, d->c, dnnl_status2str (status));
  return FALSE;
}

DloralConstMd
dloral_primitive_get_md (const DloralPrimitive *self, int arg)
{
  const_dnnl_primitive_desc_t pd;

  if (dnnl_primitive_get_primitive_desc (self->primitive, &pd) != dnnl_success)
    return NULL;
  return dnnl_primitive_desc_query_md (pd, dnnl_query_exec_arg_md, arg);
}

static void
append (DloralPrimitive *self, int arg, dnnl_memory_t memory, gboolean lent)
{
  g_assert (self->n_args < DLORAL_MAX_ARGS);
  self->args[self->n_args].arg = arg;
  self->args[self->n_args].memory = memory;
  self->lent[self->n_args] = lent;
  self->n_args++;
}

static dnnl_status_t
add_arg (DloralPrimitive *self, DloralDevice *device, int arg)
{
  DloralConstMd md = dloral_primitive_get_md (self, arg);
  dnnl_memory_t memory;
  dnnl_status_t status;

  if (md == NULL)
    return dnnl_invalid_arguments;
  status = dnnl_memory_create (&memory, md, device->engine, DNNL_MEMORY_NONE);
  if (status == dnnl_success)
    append (self, arg, memory, FALSE);
  return status;
}

static dnnl_status_t
add_args (DloralPrimitive *self, DloralDevice *device, const int *args)
{
  DloralConstMd scratch = dloral_primitive_get_md (self, DNNL_ARG_SCRATCHPAD);
  dnnl_status_t status = dnnl_success;

  for (; *args && status == dnnl_success; args++)
    status = add_arg (self, device, *args);
  if (scratch)
    self->scratch_size = dnnl_memory_desc_get_size (scratch);
  if (self->scratch_size > 0 && status == dnnl_success)
    status = add_arg (self, device, DNNL_ARG_SCRATCHPAD);
  return status;
}

gboolean
dloral_primitive_init (DloralPrimitive *self, DloralDevice *device,
    dnnl_primitive_desc_t pd, const int *args, const DloralOp *op,
    GError **error)
{
  dnnl_status_t status;

  memset (self, 0, sizeof *self);
  status = dnnl_primitive_create (&self->primitive, pd);
  dnnl_primitive_desc_destroy (pd);
  if (status != dnnl_success)
    self->primitive = NULL;
  if (status == dnnl_success)
    status = dnnl_stream_create (&self->stream, device->engine,
        dnnl_stream_default_flags);
  if (status == dnnl_success)
    status = add_args (self, device, args);
  if (status != dnnl_success)
    dloral_primitive_clear (self);
  return dloral_dnnl_check (status, op, "create a primitive", error);
}

void
dloral_primitive_clear (DloralPrimitive *self)
{
  int i;

  for (i = 0; i < self->n_args; i++)
    if (!self->lent[i])
      dnnl_memory_destroy (self->args[i].memory);
  if (self->stream)
    dnnl_stream_destroy (self->stream);
  if (self->primitive)
    dnnl_primitive_destroy (self->primitive);
  memset (self, 0, sizeof *self);
}

void
dloral_primitive_lend (DloralPrimitive *self, int arg, dnnl_memory_t memory)
{
  append (self, arg, memory, TRUE);
}

void
dloral_primitive_bind (DloralPrimitive *self, int arg, gconstpointer data)
{
  int i = 0;

  while (i < self->n_args && self->args[i].arg != arg)
    i++;
  if (i == self->n_args || self->bound[i] == data)
    return;
  dnnl_memory_set_data_handle (self->args[i].memory, (gpointer) data);
  self->bound[i] = data;
}

gboolean
dloral_primitive_run (DloralPrimitive *self, gpointer scratch,
    const DloralOp *op, GError **error)
{
  dloral_primitive_bind (self, DNNL_ARG_SCRATCHPAD, scratch);
  return dloral_dnnl_check (dnnl_primitive_execute (self->primitive,
          self->stream, self->n_args, self->args), op, "run", error);
}

static const int reorder_args[] = { DNNL_ARG_FROM, DNNL_ARG_TO, 0 };

gboolean
dloral_primitive_init_reorder (DloralPrimitive *self, DloralDevice *device,
    const DloralOperand *src, const DloralOperand *dst, const DloralOp *op,
    GError **error)
{
  dnnl_primitive_desc_t pd;

  if (!dloral_dnnl_check (dloral_dnnl_reorder (&pd, device->engine, src, dst),
          op, "copy a tensor", error))
    return FALSE;
  return dloral_primitive_init (self, device, pd, reorder_args, op, error);
}

gboolean
dloral_primitive_init_reorder_to (DloralPrimitive *self, DloralDevice *device,
    const DloralOperand *src, DloralConstMd dst, const DloralOp *op,
    GError **error)
{
  dnnl_primitive_desc_t pd;

  if (!dloral_dnnl_check (dloral_dnnl_reorder_to (&pd, device->engine, src,
              dst), op, "pack a tensor", error))
    return FALSE;
  return dloral_primitive_init (self, device, pd, reorder_args, op, error);
}

gboolean
dloral_primitive_run_reorder (DloralPrimitive *self, gconstpointer src,
    gpointer dst, gpointer scratch, const DloralOp *op, GError **error)
{
  dloral_primitive_bind (self, DNNL_ARG_FROM, src);
  dloral_primitive_bind (self, DNNL_ARG_TO, dst);
  return dloral_primitive_run (self, scratch, op, error);
}
