/* Frames as video has them, in bytes of some pixel format, and pictures as the
 * networks see them, RGB of 8 or of 16 bits, black 0 and white all bits: what the
 * one means, and the way to the other and back on the host. Plain C, so that
 * kernels can include it.
 *
 * Conversions are in integers, to the nearest level, so that every backend comes
 * to the same result. Chroma is interpolated linearly, from where the format
 * says it lies. Transfer function and primaries are nobody's business here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum
{
  DLORAL_VIDEO_RGB,
  DLORAL_VIDEO_YUV,
  DLORAL_VIDEO_GREY,
} DloralVideoKind;

/* Where the samples of one component are: red, green, blue; Y, U, V; Y. */
typedef struct
{
  size_t offset;                /* bytes from the frame's start */
  int stride, step;             /* bytes to the next row, to the next sample */
} DloralVideoComponent;

/* Integers; offsets in levels. */
typedef struct
{
  int luma_offset, chroma_offset;
  int to_bits;                  /* after the point of the next five */
  int y, rv, gu, gv, bu;        /* to RGB */
  int yr, yg, yb;               /* and back, DLORAL_VIDEO_BITS () after the point */
  int ur, ug, ub;
  int vr, vg, vb;
} DloralVideoMatrix;

/* Of pictures of so many bits. */
#define DLORAL_VIDEO_BITS(bits) ((bits) + 6)

typedef struct
{
  DloralVideoKind kind;
  int width, height;
  int deep;                     /* its pictures are of 16 bits, native byte order,
                                 * which whatever has more than 8 needs */
  size_t size;                  /* bytes of a frame */
  DloralVideoComponent components[3];
  int opaque;                   /* where an RGB pixel has a sample of which all bits
                                 * are set; -1: there is none */
  int limited;                  /* black and white are 16 and 235, times
                                 * 2 ^ (depth - 8) */
  int depth;                    /* bits of a sample, 8 … 16; RGB: 8 or 16. Over 8
                                 * it has two bytes, the lower first */
  /* Of YUV and grey. */
  int shift;                    /* unused bits below those. What is above them is
                                 * ignored */
  int w_sub, h_sub;             /* 1: half as many columns or rows of chroma */
  int h_cosited, v_cosited;     /* each with the first luma sample that it covers,
                                 * else between the two */
  double kr, kb;                /* how much red and blue make of luma */
  DloralVideoMatrix matrix;     /* which follows from all that */
} DloralVideoFormat;

/* Rows of a frame in memory of the device that is somebody else's, and where they
 * are in the stream's own. */
typedef struct
{
  void *context;                /* CUDA's CUcontext that the memory belongs to */
  uintptr_t address;            /* of the first row: a CUdeviceptr */
  size_t stride;                /* bytes to the next one */
  size_t offset, frame_stride;  /* the same in a frame of the stream's format */
  size_t width;                 /* bytes of a row */
  int height;
} DloralVideoRows;

/* Fills in the matrix of a format whose other fields are set. */
void dloral_video_format_init_matrix (DloralVideoFormat *format);

/* As pictures are: RGB of 8 or, deep, 16 bits, rows side by side. */
void dloral_video_format_init_rgb (DloralVideoFormat *format, int width,
    int height, int deep);

/* Columns or rows of chroma where there are n of luma. */
static inline int
dloral_video_get_chroma (int n, int sub)
{
  return (n + sub) >> sub;
}

/* Bytes of scratch memory that the two conversions need. */
size_t dloral_video_get_scratch_size (const DloralVideoFormat *format);

/* Rows first … last - 1 of a frame to the same rows of a picture RGB, `stride`
 * bytes apart. */
void dloral_video_unpack (const DloralVideoFormat *format,
    const uint8_t *frame, void *rgb, size_t stride, int first, int last,
    void *scratch);

/* And back. `first` is a multiple of 2, `last` too unless it is the height.
 * Bytes that belong to no sample stay as they are. */
void dloral_video_pack (const DloralVideoFormat *format, const void *rgb,
    size_t stride, uint8_t *frame, int first, int last, void *scratch);

/* What tells frames apart: of row y the luma, or red, green and blue, in 8 bits.
 * Returns how many samples that is, at most 3 · width. */
int dloral_video_read_line (const DloralVideoFormat *format,
    const uint8_t *frame, int y, uint8_t *line);

#ifdef __cplusplus
}
#endif
