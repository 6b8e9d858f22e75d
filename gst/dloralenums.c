/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Names and descriptions of the choices.
 */
#include "dloralenums.h"

#include "engine/dloral.h"

GType
gst_dloral_device_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {DLORAL_DEVICE_AUTO, "The fastest there is", "auto"},
    {DLORAL_DEVICE_CPU, "CPU", "cpu"},
    {DLORAL_DEVICE_CUDA, "NVIDIA GPU", "cuda"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDloralDevice",
            values));
  return type;
}

GType
gst_dloral_precision_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {DLORAL_PRECISION_AUTO, "The fastest the device has", "auto"},
    {DLORAL_PRECISION_F32, "32-bit floating point", "f32"},
    {DLORAL_PRECISION_BF16, "bfloat16, or f32 where the device has none",
        "bf16"},
    {DLORAL_PRECISION_F16, "16-bit floating point, likewise", "f16"},
    {DLORAL_PRECISION_FP8,
        "8-bit products on GPUs that have them, of calibrated models; else bf16",
        "fp8"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDloralPrecision",
            values));
  return type;
}

GType
gst_dloral_color_fix_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {DLORAL_COLOR_FIX_AUTO, "What the model file asks for", "auto"},
    {DLORAL_COLOR_FIX_ADAIN, "Mean and deviation of each channel", "adain"},
    {DLORAL_COLOR_FIX_WAVELET, "Low frequencies of the input", "wavelet"},
    {DLORAL_COLOR_FIX_NONE, "No correction", "none"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDloralColorFix",
            values));
  return type;
}

GType
gst_dloral_vae_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {DLORAL_VAE_FULL, "The model's own", "full"},
    {DLORAL_VAE_TINY, "A small and fast one, where the model file has it",
        "tiny"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDloralVae",
            values));
  return type;
}

GType
gst_dloral_auto_prompt_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {DLORAL_AUTO_PROMPT_OFF, "No frame is looked at", "off"},
    {DLORAL_AUTO_PROMPT_FIRST_FRAME, "The first frame of a video is",
        "first-frame"},
    {DLORAL_AUTO_PROMPT_SCENE, "And one after each scene cut or seek",
        "scene"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDloralAutoPrompt",
            values));
  return type;
}

GType
gst_dloral_overload_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {DLORAL_OVERLOAD_BLOCK, "Upstream waits", "block"},
    {DLORAL_OVERLOAD_DROP, "They are dropped", "drop"},
    {DLORAL_OVERLOAD_BYPASS, "They are enlarged, but not restored", "bypass"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDloralOverload",
            values));
  return type;
}
