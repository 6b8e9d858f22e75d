/* CUDA's C++ as far as kernels use it, for a C++ compiler: a kernel's .cu file is
 * compiled with this and runs on the CPU, a fiber for each of its threads
 * (block.h). What kernels may not rely on is made to fail: shared memory starts as
 * garbage, threads run in any order, barriers must be reached by all.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <limits>
#include <type_traits>
#include <utility>

/* --- declarations --------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__ ((always_inline))
#define __align__(n) __attribute__ ((aligned (n)))
#define __launch_bounds__(...)
#define __constant__ static
/* Blocks run on several threads at once; one thread runs a block to its end. */
#define __shared__ static thread_local

#define KERNEL(threads, name, parameters) \
  ON_CPU_KERNEL (threads, name, parameters)
#define ON_CPU_KERNEL(threads, name, parameters) \
  extern "C" void name parameters; \
  static const on_cpu::Kernel on_cpu_kernel_##name (#name, threads, name); \
  extern "C" void name parameters

#define SHARED(type, name) \
  type *const name = reinterpret_cast<type *> (on_cpu::current ()->shared)

/* --- vectors -------------------------------------------------------------- */

#define ON_CPU_VECTOR(scalar, name) \
  struct alignas (2 * sizeof (scalar)) name##2 { scalar x, y; }; \
  struct name##3 { scalar x, y, z; }; \
  struct alignas (4 * sizeof (scalar) < 16 ? 4 * sizeof (scalar) : 16) name##4 \
  { scalar x, y, z, w; }; \
  static inline name##2 make_##name##2 (scalar x, scalar y) \
  { return { x, y }; } \
  static inline name##3 make_##name##3 (scalar x, scalar y, scalar z) \
  { return { x, y, z }; } \
  static inline name##4 make_##name##4 (scalar x, scalar y, scalar z, scalar w) \
  { return { x, y, z, w }; }

ON_CPU_VECTOR (float, float)
ON_CPU_VECTOR (double, double)
ON_CPU_VECTOR (int, int)
ON_CPU_VECTOR (unsigned, uint)
ON_CPU_VECTOR (short, short)
ON_CPU_VECTOR (unsigned short, ushort)
ON_CPU_VECTOR (signed char, char)
ON_CPU_VECTOR (unsigned char, uchar)
#undef ON_CPU_VECTOR

struct dim3
{
  unsigned x, y, z;
  dim3 (unsigned x = 1, unsigned y = 1, unsigned z = 1): x (x), y (y), z (z) {}
};

/* --- where a thread is ---------------------------------------------------- */

namespace on_cpu
{

/* A thread's stack is aligned to its size. Its Thread lies near its beginning, not
 * at the same place in all of them, as these would take turns in a few lines of the
 * processor's caches. */
constexpr size_t STACK_SIZE = 512 * 1024;
constexpr size_t N_PLACES = 128, PLACE_SIZE = 512;

static inline size_t
get_thread_place (uintptr_t stack)
{
  return stack / STACK_SIZE % N_PLACES * PLACE_SIZE;
}

struct Thread
{
  uint3 thread_index, block_index;
  dim3 block_size, grid_size;
  unsigned char *shared;        /* dynamic, 16-byte aligned */
};

static inline const Thread *
current ()
{
  uintptr_t frame = reinterpret_cast<uintptr_t> (__builtin_frame_address (0));
  uintptr_t stack = frame & ~(STACK_SIZE - 1);

  return reinterpret_cast<const Thread *> (stack + get_thread_place (stack));
}

/* The place a barrier is called from. */
struct Site
{
  const char *file;
  int line;

  static constexpr Site
  here (const char *file = __builtin_FILE (), int line = __builtin_LINE ())
  {
    return { file, line };
  }
};

/* As a source lane: the answer is the lanes whose value is not 0. */
constexpr unsigned BALLOT = 32;

/* In block.cpp. */
void sync_threads (Site site);
void sync_warp (unsigned mask, Site site);
uint64_t exchange (const char *operation, unsigned mask, uint64_t value,
    unsigned source, Site site);
void fence ();

/* --- kernels by name ------------------------------------------------------ */

struct Parameter
{
  size_t size, alignment;
  bool pointer;
};

template <typename... P> struct Caller
{
  static constexpr Parameter parameters[] = {
    { sizeof (P), alignof (P), std::is_pointer<P>::value }...
  };

  template <size_t... i> static void
  unpack (void (*function) (P...), void *const *values,
      std::index_sequence<i...>)
  {
    static_assert ((std::is_trivially_copyable<P>::value && ...),
        "parameters are copied as bytes");
    function (*static_cast<P *> (values[i])...);
  }

  static void
  call (void (*function) (), void *const *values)
  {
    unpack (reinterpret_cast<void (*) (P...)> (function), values,
        std::index_sequence_for<P...> ());
  }
};

struct Kernel
{
  const char *name;
  unsigned max_threads;         /* of a block */
  void (*function) ();
  void (*call) (void (*function) (), void *const *values);
  const Parameter *parameters;
  unsigned n_parameters;
  const Kernel *next;

  template <typename... P>
  Kernel (const char *name, unsigned max_threads, void (*function) (P...)):
    name (name), max_threads (max_threads),
    function (reinterpret_cast<void (*) ()> (function)),
    call (Caller<P...>::call), parameters (Caller<P...>::parameters),
    n_parameters (sizeof... (P)), next (first)
  {
    first = this;
  }

  static const Kernel *first;
};

} // namespace on_cpu

#define threadIdx (on_cpu::current ()->thread_index)
#define blockIdx (on_cpu::current ()->block_index)
#define blockDim (on_cpu::current ()->block_size)
#define gridDim (on_cpu::current ()->grid_size)
#define warpSize 32

/* --- barriers, shuffles, votes -------------------------------------------- */

#define ON_CPU_SITE on_cpu::Site site = on_cpu::Site::here ()

static inline void
__syncthreads (ON_CPU_SITE)
{
  on_cpu::sync_threads (site);
}

static inline void
__syncwarp (unsigned mask = 0xffffffff, ON_CPU_SITE)
{
  on_cpu::sync_warp (mask, site);
}

static inline void __threadfence () { on_cpu::fence (); }
static inline void __threadfence_block () { on_cpu::fence (); }

namespace on_cpu
{

static inline unsigned
get_lane ()
{
  const Thread *t = current ();

  return ((t->thread_index.z * t->block_size.y + t->thread_index.y)
      * t->block_size.x + t->thread_index.x) % 32;
}

template <typename T> T
shuffle (const char *operation, unsigned mask, T value, unsigned source,
    Site site)
{
  static_assert (sizeof (T) <= 8 && std::is_trivially_copyable<T>::value,
      "shuffles move at most 8 bytes");
  uint64_t bits = 0;

  memcpy (&bits, &value, sizeof value);
  bits = exchange (operation, mask, bits, source, site);
  memcpy (&value, &bits, sizeof value);
  return value;
}

} // namespace on_cpu

template <typename T> T
__shfl_sync (unsigned mask, T value, int source, int width = 32, ON_CPU_SITE)
{
  unsigned lane = on_cpu::get_lane (), first = lane & ~(width - 1u);

  return on_cpu::shuffle ("__shfl_sync", mask, value,
      first + (source & (width - 1u)), site);
}

template <typename T> T
__shfl_up_sync (unsigned mask, T value, unsigned delta, int width = 32,
    ON_CPU_SITE)
{
  unsigned lane = on_cpu::get_lane (), within = lane & (width - 1u);

  return on_cpu::shuffle ("__shfl_up_sync", mask, value,
      within >= delta ? lane - delta : lane, site);
}

template <typename T> T
__shfl_down_sync (unsigned mask, T value, unsigned delta, int width = 32,
    ON_CPU_SITE)
{
  unsigned lane = on_cpu::get_lane (), within = lane & (width - 1u);

  return on_cpu::shuffle ("__shfl_down_sync", mask, value,
      within + delta < unsigned (width) ? lane + delta : lane, site);
}

/* A source in a later group of `width` lanes is the lane itself. */
template <typename T> T
__shfl_xor_sync (unsigned mask, T value, int lanes, int width = 32, ON_CPU_SITE)
{
  unsigned lane = on_cpu::get_lane (), source = lane ^ lanes;

  return on_cpu::shuffle ("__shfl_xor_sync", mask, value,
      source < (lane & ~(width - 1u)) + width ? source : lane, site);
}

static inline unsigned
__ballot_sync (unsigned mask, int predicate, ON_CPU_SITE)
{
  return unsigned (on_cpu::exchange ("__ballot_sync", mask, predicate != 0,
          on_cpu::BALLOT, site));
}

static inline int
__any_sync (unsigned mask, int predicate, ON_CPU_SITE)
{
  return on_cpu::exchange ("__any_sync", mask, predicate != 0, on_cpu::BALLOT,
      site) != 0;
}

static inline int
__all_sync (unsigned mask, int predicate, ON_CPU_SITE)
{
  return on_cpu::exchange ("__all_sync", mask, predicate == 0, on_cpu::BALLOT,
      site) == 0;
}

#undef ON_CPU_SITE

/* --- atomics: relaxed, as CUDA's ------------------------------------------ */

namespace on_cpu
{

/* p's value becomes combine (it); returns what it was. */
template <typename T, typename F> T
update (T *p, F combine)
{
  T old, value;

  __atomic_load (p, &old, __ATOMIC_RELAXED);
  do
    value = combine (old);
  while (!__atomic_compare_exchange (p, &old, &value, false, __ATOMIC_RELAXED,
          __ATOMIC_RELAXED));
  return old;
}

} // namespace on_cpu

#define ON_CPU_ATOMIC(type, name, expression) \
  static inline type \
  name (type *p, type x) \
  { \
    return on_cpu::update (p, [x] (type old) -> type { return expression; }); \
  }
#define ON_CPU_INTEGER_ATOMICS(type) \
  ON_CPU_ATOMIC (type, atomicAdd, old + x) \
  ON_CPU_ATOMIC (type, atomicMin, old < x ? old : x) \
  ON_CPU_ATOMIC (type, atomicMax, old > x ? old : x) \
  ON_CPU_ATOMIC (type, atomicAnd, old & x) \
  ON_CPU_ATOMIC (type, atomicOr, old | x) \
  ON_CPU_ATOMIC (type, atomicXor, old ^ x) \
  ON_CPU_ATOMIC (type, atomicExch, ((void) old, x)) \
  static inline type \
  atomicCAS (type *p, type expected, type x) \
  { \
    __atomic_compare_exchange_n (p, &expected, x, false, __ATOMIC_RELAXED, \
        __ATOMIC_RELAXED); \
    return expected; \
  }

ON_CPU_INTEGER_ATOMICS (int)
ON_CPU_INTEGER_ATOMICS (unsigned)
ON_CPU_INTEGER_ATOMICS (unsigned long long)
ON_CPU_ATOMIC (int, atomicSub, old - x)
ON_CPU_ATOMIC (unsigned, atomicSub, old - x)
ON_CPU_ATOMIC (unsigned, atomicInc, old >= x ? 0 : old + 1)
ON_CPU_ATOMIC (float, atomicAdd, old + x)
ON_CPU_ATOMIC (double, atomicAdd, old + x)
ON_CPU_ATOMIC (float, atomicExch, ((void) old, x))
#undef ON_CPU_INTEGER_ATOMICS
#undef ON_CPU_ATOMIC

/* --- memory with hints ---------------------------------------------------- */

template <typename T> T __ldg (const T *p) { return *p; }
template <typename T> T __ldca (const T *p) { return *p; }
template <typename T> T __ldcg (const T *p) { return *p; }
template <typename T> T __ldcs (const T *p) { return *p; }
template <typename T> void __stcg (T *p, T x) { *p = x; }
template <typename T> void __stcs (T *p, T x) { *p = x; }

/* --- arithmetic ----------------------------------------------------------- */

/* glibc's math.h declares functions of these names. */
#define __expf(x) expf (x)
#define __exp10f(x) exp10f (x)
#define __logf(x) logf (x)
#define __log2f(x) log2f (x)
#define __log10f(x) log10f (x)
#define __powf(x, y) powf (x, y)
#define __sinf(x) sinf (x)
#define __cosf(x) cosf (x)
#define __tanf(x) tanf (x)

static inline float rsqrtf (float x) { return 1 / sqrtf (x); }
static inline float __frsqrt_rn (float x) { return 1 / sqrtf (x); }
static inline float __fsqrt_rn (float x) { return sqrtf (x); }
static inline float __frcp_rn (float x) { return 1 / x; }
static inline float __fdividef (float x, float y) { return x / y; }
static inline float __fdiv_rn (float x, float y) { return x / y; }
static inline float __fadd_rn (float x, float y) { return x + y; }
static inline float __fsub_rn (float x, float y) { return x - y; }
static inline float __fmul_rn (float x, float y) { return x * y; }
static inline float __fmaf_rn (float x, float y, float z) { return fmaf (x, y, z); }

/* NaN becomes 0. */
static inline float
__saturatef (float x)
{
  return x > 0 ? (x < 1 ? x : 1) : 0;
}

#define ON_CPU_MIN_MAX(type) \
  static inline type min (type x, type y) { return y < x ? y : x; } \
  static inline type max (type x, type y) { return x < y ? y : x; }

ON_CPU_MIN_MAX (int)
ON_CPU_MIN_MAX (unsigned)
ON_CPU_MIN_MAX (long)
ON_CPU_MIN_MAX (unsigned long)
ON_CPU_MIN_MAX (long long)
ON_CPU_MIN_MAX (unsigned long long)
#undef ON_CPU_MIN_MAX
static inline float min (float x, float y) { return fminf (x, y); }
static inline float max (float x, float y) { return fmaxf (x, y); }
static inline double min (double x, double y) { return fmin (x, y); }
static inline double max (double x, double y) { return fmax (x, y); }

static inline int __popc (unsigned x) { return __builtin_popcount (x); }
static inline int __clz (int x) { return x ? __builtin_clz (x) : 32; }
static inline int __ffs (int x) { return __builtin_ffs (x); }
static inline unsigned
__umulhi (unsigned x, unsigned y)
{
  return unsigned (uint64_t (x) * y >> 32);
}

[[noreturn]] static inline void __trap () { abort (); }

/* --- conversions ---------------------------------------------------------- */

namespace on_cpu
{

template <typename To, typename From> To
as (From x)
{
  static_assert (sizeof (To) == sizeof (From), "same bits, other type");
  To y;

  memcpy (&y, &x, sizeof y);
  return y;
}

/* As a GPU converts: out of range is the nearest there is, NaN is 0. */
template <typename To> To
saturate (double x)
{
  constexpr To low = std::numeric_limits<To>::min ();
  constexpr To high = std::numeric_limits<To>::max ();

  if (x != x)
    return 0;
  return x <= double (low) ? low : x >= double (high) ? high : To (x);
}

} // namespace on_cpu

#define ON_CPU_CONVERSIONS(suffix, round) \
  static inline int \
  __float2int_##suffix (float x) \
  { return on_cpu::saturate<int> (round (double (x))); } \
  static inline unsigned \
  __float2uint_##suffix (float x) \
  { return on_cpu::saturate<unsigned> (round (double (x))); }

ON_CPU_CONVERSIONS (rn, rint)
ON_CPU_CONVERSIONS (rd, floor)
ON_CPU_CONVERSIONS (ru, ceil)
ON_CPU_CONVERSIONS (rz, trunc)
#undef ON_CPU_CONVERSIONS

static inline float __int2float_rn (int x) { return float (x); }
static inline float __uint2float_rn (unsigned x) { return float (x); }
static inline int __float_as_int (float x) { return on_cpu::as<int> (x); }
static inline unsigned __float_as_uint (float x) { return on_cpu::as<unsigned> (x); }
static inline float __int_as_float (int x) { return on_cpu::as<float> (x); }
static inline float __uint_as_float (unsigned x) { return on_cpu::as<float> (x); }

struct __half { unsigned short bits; };
struct __nv_bfloat16 { unsigned short bits; };
struct alignas (4) __half2 { __half x, y; };
struct alignas (4) __nv_bfloat162 { __nv_bfloat16 x, y; };
typedef __half half;
typedef __half2 half2;
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

static inline float
__bfloat162float (__nv_bfloat16 x)
{
  return on_cpu::as<float> (uint32_t (x.bits) << 16);
}

/* To nearest, ties to even; any NaN is 7fff. */
static inline __nv_bfloat16
__float2bfloat16 (float x)
{
  uint32_t bits = on_cpu::as<uint32_t> (x);

  if (x != x)
    return { 0x7fff };
  return { (unsigned short) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) };
}

static inline float
__half2float (__half x)
{
  uint32_t sign = uint32_t (x.bits & 0x8000) << 16;
  uint32_t exponent = x.bits >> 10 & 31, mantissa = x.bits & 0x3ff;

  if (exponent == 0)
    return (sign ? -1 : 1) * ldexpf (float (mantissa), -24);
  return on_cpu::as<float> (sign | (exponent == 31 ? 255 : exponent + 112) << 23
      | mantissa << 13);
}

/* To nearest, ties to even; any NaN is 7fff. */
static inline __half
__float2half (float x)
{
  uint32_t bits = on_cpu::as<uint32_t> (x);
  uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;

  if (x != x)
    return { 0x7fff };
  if (size >= 0x477ff000)       /* 65520, half way to what would be next */
    size = 0x7c00;
  else if (size < 0x38800000)   /* subnormal: 0.5 has units of 2^-24, as they */
    size = on_cpu::as<uint32_t> (on_cpu::as<float> (size) + 0.5f) - 0x3f000000;
  else
    size = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
  return { (unsigned short) (sign | size) };
}

#define ON_CPU_PAIRS(type, name) \
  static inline type __float2##name##_rn (float x) { return __float2##name (x); } \
  static inline type##2 __floats2##name##2_rn (float x, float y) \
  { return { __float2##name (x), __float2##name (y) }; } \
  static inline type##2 __float22##name##2_rn (float2 v) \
  { return { __float2##name (v.x), __float2##name (v.y) }; } \
  static inline float2 __##name##22float2 (type##2 v) \
  { return { __##name##2float (v.x), __##name##2float (v.y) }; } \
  static inline type __ushort_as_##name (unsigned short bits) { return { bits }; } \
  static inline unsigned short __##name##_as_ushort (type x) { return x.bits; } \
  static inline float __low2float (type##2 v) { return __##name##2float (v.x); } \
  static inline float __high2float (type##2 v) { return __##name##2float (v.y); }

/* The only ones there are here. */
enum { __NV_SATFINITE = 1, __NV_E4M3 = 0 };

namespace on_cpu
{

/* To nearest, ties to even; beyond 448 it is that; any NaN is 7f. Normal numbers
 * are 8 … 15 units of their binade, 16 the first of the next; the code counts
 * them from the smallest on. */
static inline unsigned char
to_e4m3 (float x)
{
  unsigned char sign = signbit (x) ? 0x80 : 0;
  float size = fminf (fabsf (x), 448);
  int exponent = size < 0x1p-6f ? -6 : ilogbf (size);

  if (x != x)
    return 0x7f;
  return sign | (unsigned char) (nearbyintf (ldexpf (size, 3 - exponent))
      + 8 * (exponent + 6));
}

} // namespace on_cpu

static inline unsigned short
__nv_cvt_float2_to_fp8x2 (float2 x, int saturation, int type)
{
  assert (saturation == __NV_SATFINITE && type == __NV_E4M3);
  return on_cpu::to_e4m3 (x.x) | on_cpu::to_e4m3 (x.y) << 8;
}

ON_CPU_PAIRS (__half, half)
ON_CPU_PAIRS (__nv_bfloat16, bfloat16)
#undef ON_CPU_PAIRS
