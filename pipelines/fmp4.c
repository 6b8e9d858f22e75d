/* Fragmented MP4 of one track, see fmp4.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fmp4.h"

#include <string.h>

#define TRACK 1

/* ISO/IEC 14496-12, 8.8.3.1: a sample that others are not needed for, and one that
 * depends on others. */
#define FLAGS_SYNC 0x02000000
#define FLAGS_DELTA 0x01010000

/* tfhd */
#define DEFAULT_FLAGS 0x20
#define DEFAULT_BASE_IS_MOOF 0x020000
/* trun */
#define DATA_OFFSET 0x1
#define FIRST_FLAGS 0x4
#define DURATIONS 0x100
#define SIZES 0x200

typedef struct
{
  gboolean is_video;
  guint32 rate;                 /* units a second */
  guint width, height;          /* as coded */
  guint par_n, par_d;
  guint channels;
  GstMapInfo config;            /* avcC, or AudioSpecificConfig */
} Track;

/* --- Boxes ----------------------------------------------------------------- */

static void
put (GByteArray * out, const void *data, gsize n)
{
  g_byte_array_append (out, data, n);
}

static void
put8 (GByteArray * out, guint8 value)
{
  put (out, &value, 1);
}

static void
put16 (GByteArray * out, guint16 value)
{
  value = GUINT16_TO_BE (value);
  put (out, &value, 2);
}

static void
put32 (GByteArray * out, guint32 value)
{
  value = GUINT32_TO_BE (value);
  put (out, &value, 4);
}

static void
put64 (GByteArray * out, guint64 value)
{
  value = GUINT64_TO_BE (value);
  put (out, &value, 8);
}

static void
put_zeros (GByteArray * out, guint n)
{
  while (n--)
    put8 (out, 0);
}

static void
set32 (GByteArray * out, guint at, guint32 value)
{
  value = GUINT32_TO_BE (value);
  memcpy (out->data + at, &value, 4);
}

/* Gives what box_end () takes. */
static guint
box (GByteArray * out, const char *type)
{
  guint at = out->len;

  put32 (out, 0);
  put (out, type, 4);
  return at;
}

static guint
full_box (GByteArray * out, const char *type, guint version, guint flags)
{
  guint at = box (out, type);

  put32 (out, version << 24 | flags);
  return at;
}

static void
box_end (GByteArray * out, guint at)
{
  set32 (out, at, out->len - at);
}

/* `brands`: the major one first, which is also a compatible one. */
static void
put_brands (GByteArray * out, const char *type, const char *brands)
{
  guint at = box (out, type);

  put (out, brands, 4);
  put32 (out, 0);
  put (out, brands, strlen (brands));
  box_end (out, at);
}

/* --- Header ---------------------------------------------------------------- */

static void
put_matrix (GByteArray * out)
{
  static const guint32 unity[] = { 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000 };

  for (guint i = 0; i < G_N_ELEMENTS (unity); i++)
    put32 (out, unity[i]);
}

/* Durations are 0 here and below: they are those of the fragments. */
static void
put_mvhd (GByteArray * out, const Track * track)
{
  guint at = full_box (out, "mvhd", 0, 0);

  put_zeros (out, 8);           /* made and changed: not said */
  put32 (out, track->rate);
  put32 (out, 0);
  put32 (out, 0x10000);         /* speed 1 */
  put16 (out, 0x100);           /* volume 1 */
  put_zeros (out, 10);
  put_matrix (out);
  put_zeros (out, 24);
  put32 (out, TRACK + 1);       /* the next free one */
  box_end (out, at);
}

static void
put_tkhd (GByteArray * out, const Track * track)
{
  guint at = full_box (out, "tkhd", 0, 7);      /* enabled, in movie and preview */

  put_zeros (out, 8);
  put32 (out, TRACK);
  put_zeros (out, 4 + 4 + 8 + 4);
  put16 (out, track->is_video ? 0 : 0x100);
  put_zeros (out, 2);
  put_matrix (out);
  put32 (out, gst_util_uint64_scale (track->width, (guint64) track->par_n << 16,
          track->par_d));
  put32 (out, track->height << 16);
  box_end (out, at);
}

static void
put_mdhd (GByteArray * out, const Track * track)
{
  guint at = full_box (out, "mdhd", 0, 0);

  put_zeros (out, 8);
  put32 (out, track->rate);
  put32 (out, 0);
  put16 (out, 0x55c4);          /* language: "und" */
  put16 (out, 0);
  box_end (out, at);
}

static void
put_hdlr (GByteArray * out, const Track * track)
{
  guint at = full_box (out, "hdlr", 0, 0);

  put32 (out, 0);
  put (out, track->is_video ? "vide" : "soun", 4);
  put_zeros (out, 12);
  put8 (out, 0);                /* no name */
  box_end (out, at);
}

static void
put_avc1 (GByteArray * out, const Track * track)
{
  guint at = box (out, "avc1"), inner;

  put_zeros (out, 6);
  put16 (out, 1);               /* dref's */
  put_zeros (out, 16);
  put16 (out, track->width);
  put16 (out, track->height);
  put32 (out, 72 << 16);        /* dots per inch */
  put32 (out, 72 << 16);
  put32 (out, 0);
  put16 (out, 1);
  put_zeros (out, 32);          /* no name */
  put16 (out, 24);
  put16 (out, 0xffff);

  inner = box (out, "avcC");
  put (out, track->config.data, track->config.size);
  box_end (out, inner);
  inner = box (out, "pasp");
  put32 (out, track->par_n);
  put32 (out, track->par_d);
  box_end (out, inner);
  box_end (out, at);
}

/* ISO/IEC 14496-1, 7.2.6.5 to 7.2.6.7; lengths below 128 take one byte. */
static void
put_esds (GByteArray * out, const Track * track)
{
  guint at = full_box (out, "esds", 0, 0);
  guint n = track->config.size;

  put8 (out, 3);                /* ES_Descriptor */
  put8 (out, 3 + 2 + 13 + 2 + n + 2 + 1);
  put16 (out, TRACK);
  put8 (out, 0);
  put8 (out, 4);                /* DecoderConfigDescriptor */
  put8 (out, 13 + 2 + n);
  put8 (out, 0x40);             /* MPEG-4 audio */
  put8 (out, 0x15);             /* a stream of sound */
  put_zeros (out, 3 + 4 + 4);   /* buffer and bitrates: not said */
  put8 (out, 5);                /* DecoderSpecificInfo */
  put8 (out, n);
  put (out, track->config.data, n);
  put8 (out, 6);                /* SLConfigDescriptor: as MP4 has it */
  put8 (out, 1);
  put8 (out, 2);
  box_end (out, at);
}

static void
put_mp4a (GByteArray * out, const Track * track)
{
  guint at = box (out, "mp4a");

  put_zeros (out, 6);
  put16 (out, 1);               /* dref's */
  put_zeros (out, 8);
  put16 (out, track->channels);
  put16 (out, 16);
  put32 (out, 0);
  put32 (out, track->rate << 16);
  put_esds (out, track);
  box_end (out, at);
}

static void
put_stbl (GByteArray * out, const Track * track)
{
  static const char *const empty[] = { "stts", "stsc", "stco" };
  guint at = box (out, "stbl"), inner;

  inner = full_box (out, "stsd", 0, 0);
  put32 (out, 1);
  if (track->is_video)
    put_avc1 (out, track);
  else
    put_mp4a (out, track);
  box_end (out, inner);
  for (guint i = 0; i < G_N_ELEMENTS (empty); i++) {
    inner = full_box (out, empty[i], 0, 0);
    put32 (out, 0);
    box_end (out, inner);
  }
  inner = full_box (out, "stsz", 0, 0);
  put_zeros (out, 8);
  box_end (out, inner);
  box_end (out, at);
}

static void
put_minf (GByteArray * out, const Track * track)
{
  guint at = box (out, "minf"), dinf, dref, url;

  if (track->is_video) {
    guint vmhd = full_box (out, "vmhd", 0, 1);

    put_zeros (out, 8);
    box_end (out, vmhd);
  } else {
    guint smhd = full_box (out, "smhd", 0, 0);

    put_zeros (out, 4);
    box_end (out, smhd);
  }
  dinf = box (out, "dinf");
  dref = full_box (out, "dref", 0, 0);
  put32 (out, 1);
  url = full_box (out, "url ", 0, 1);   /* this file */
  box_end (out, url);
  box_end (out, dref);
  box_end (out, dinf);
  put_stbl (out, track);
  box_end (out, at);
}

static void
put_trak (GByteArray * out, const Track * track)
{
  guint at = box (out, "trak"), mdia;

  put_tkhd (out, track);
  mdia = box (out, "mdia");
  put_mdhd (out, track);
  put_hdlr (out, track);
  put_minf (out, track);
  box_end (out, mdia);
  box_end (out, at);
}

static void
put_mvex (GByteArray * out)
{
  guint at = box (out, "mvex"), trex;

  trex = full_box (out, "trex", 0, 0);
  put32 (out, TRACK);
  put32 (out, 1);               /* stsd's */
  put_zeros (out, 12);
  box_end (out, trex);
  box_end (out, at);
}

static GByteArray *
make_header (const Track * track)
{
  GByteArray *out = g_byte_array_new ();
  guint moov;

  put_brands (out, "ftyp", "iso6cmfcmp41");
  moov = box (out, "moov");
  put_mvhd (out, track);
  put_trak (out, track);
  put_mvex (out);
  box_end (out, moov);
  return out;
}

static GstBuffer *
get_config (GstCaps * caps)
{
  const GValue *value = gst_structure_get_value (gst_caps_get_structure (caps, 0),
      "codec_data");

  return value ? gst_value_get_buffer (value) : NULL;
}

static GByteArray *
make_header_with_config (Track * track, GstCaps * caps)
{
  GstBuffer *config = get_config (caps);
  GByteArray *header = NULL;

  if (!config || !gst_buffer_map (config, &track->config, GST_MAP_READ))
    return NULL;
  header = make_header (track);
  gst_buffer_unmap (config, &track->config);
  return header;
}

GByteArray *
fmp4_video_header (GstCaps * caps)
{
  GstStructure *s = gst_caps_get_structure (caps, 0);
  Track track = {.is_video = TRUE,.rate = FMP4_VIDEO_RATE,.par_n = 1,.par_d = 1 };
  int width, height, par_n, par_d;

  if (!gst_structure_get_int (s, "width", &width)
      || !gst_structure_get_int (s, "height", &height))
    return NULL;
  track.width = width;
  track.height = height;
  if (gst_structure_get_fraction (s, "pixel-aspect-ratio", &par_n, &par_d)
      && par_n > 0 && par_d > 0) {
    track.par_n = par_n;
    track.par_d = par_d;
  }
  return make_header_with_config (&track, caps);
}

GByteArray *
fmp4_audio_header (GstCaps * caps)
{
  GstStructure *s = gst_caps_get_structure (caps, 0);
  Track track = {.par_n = 1,.par_d = 1 };
  int rate, channels;

  if (!gst_structure_get_int (s, "rate", &rate)
      || !gst_structure_get_int (s, "channels", &channels))
    return NULL;
  track.rate = rate;
  track.channels = channels;
  return make_header_with_config (&track, caps);
}

char *
fmp4_video_codec (GstCaps * caps)
{
  GstBuffer *config = get_config (caps);
  guint8 head[4];               /* version, profile, constraints, level */

  if (!config || gst_buffer_extract (config, 0, head, 4) < 4)
    return NULL;
  return g_strdup_printf ("avc1.%02x%02x%02x", head[1], head[2], head[3]);
}

/* --- Segments ---------------------------------------------------------------- */

/* Gives where the offset of the data belongs. */
static guint
put_trun (GByteArray * out, gboolean is_video, GArray * samples)
{
  guint at = full_box (out, "trun", 0, DATA_OFFSET | DURATIONS | SIZES
      | (is_video ? FIRST_FLAGS : 0)), offset;

  put32 (out, samples->len);
  offset = out->len;
  put32 (out, 0);
  if (is_video)
    put32 (out, FLAGS_SYNC);
  for (guint i = 0; i < samples->len; i++) {
    const Fmp4Sample *sample = &g_array_index (samples, Fmp4Sample, i);

    put32 (out, sample->duration);
    put32 (out, gst_buffer_get_size (sample->buffer));
  }
  box_end (out, at);
  return offset;
}

static guint
put_traf (GByteArray * out, gboolean is_video, guint64 time, GArray * samples)
{
  guint at = box (out, "traf"), inner, offset;

  inner = full_box (out, "tfhd", 0, DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS);
  put32 (out, TRACK);
  put32 (out, is_video ? FLAGS_DELTA : FLAGS_SYNC);
  box_end (out, inner);
  inner = full_box (out, "tfdt", 1, 0);
  put64 (out, time);
  box_end (out, inner);
  offset = put_trun (out, is_video, samples);
  box_end (out, at);
  return offset;
}

static void
put_buffer (GByteArray * out, GstBuffer * buffer)
{
  gsize n = gst_buffer_get_size (buffer);

  g_byte_array_set_size (out, out->len + n);
  gst_buffer_extract (buffer, 0, out->data + out->len - n, n);
}

GByteArray *
fmp4_segment (gboolean is_video, guint32 number, guint64 time, GArray * samples)
{
  GByteArray *out = g_byte_array_new ();
  guint moof, mfhd, mdat, offset;

  put_brands (out, "styp", "msdhcmfs");
  moof = box (out, "moof");
  mfhd = full_box (out, "mfhd", 0, 0);
  put32 (out, number);
  box_end (out, mfhd);
  offset = put_traf (out, is_video, time, samples);
  box_end (out, moof);

  mdat = box (out, "mdat");
  set32 (out, offset, out->len - moof);
  for (guint i = 0; i < samples->len; i++)
    put_buffer (out, g_array_index (samples, Fmp4Sample, i).buffer);
  box_end (out, mdat);
  return out;
}
