/* What the sanitizers are told: that stacks are switched, and what orders what.
 * Nothing where the library is built without them.
 *
 * ThreadSanitizer is to see only what CUDA promises. The driver's own locks would
 * order everything, so it does not see them (Guard); what CUDA orders is said with
 * publish and observe: all before publish (x) happens before all after a later
 * observe (x).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <condition_variable>
#include <mutex>

#ifdef __has_feature
#if __has_feature (thread_sanitizer)
#define ON_CPU_TSAN
#endif
#if __has_feature (address_sanitizer)
#define ON_CPU_ASAN
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define ON_CPU_TSAN
#endif
#ifdef __SANITIZE_ADDRESS__
#define ON_CPU_ASAN
#endif

#ifdef ON_CPU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifdef ON_CPU_TSAN
#include <sanitizer/tsan_interface.h>
extern "C"
{
  void AnnotateIgnoreReadsBegin (const char *file, int line);
  void AnnotateIgnoreReadsEnd (const char *file, int line);
  void AnnotateIgnoreSyncBegin (const char *file, int line);
  void AnnotateIgnoreSyncEnd (const char *file, int line);
}
#define ON_CPU_TSAN_CALL(function, ...) function (__VA_ARGS__)
#else
#define ON_CPU_TSAN_CALL(function, ...) ((void) 0)
#endif

/* Of functions which the driver's side and a kernel's thread both run through. */
#define UNSEEN __attribute__ ((no_sanitize ("thread")))

namespace on_cpu
{

static inline void
publish (const void *object)
{
  (void) object;
  ON_CPU_TSAN_CALL (__tsan_release, const_cast<void *> (object));
}

static inline void
observe (const void *object)
{
  (void) object;
  ON_CPU_TSAN_CALL (__tsan_acquire, const_cast<void *> (object));
}

/* Holds a mutex, and keeps what happens meanwhile from ThreadSanitizer. */
class Guard
{
  std::unique_lock<std::mutex> held;

  void
  hide ()
  {
    ON_CPU_TSAN_CALL (AnnotateIgnoreReadsBegin, __FILE__, __LINE__);
    ON_CPU_TSAN_CALL (AnnotateIgnoreSyncBegin, __FILE__, __LINE__);
  }

  void
  show ()
  {
    ON_CPU_TSAN_CALL (AnnotateIgnoreSyncEnd, __FILE__, __LINE__);
    ON_CPU_TSAN_CALL (AnnotateIgnoreReadsEnd, __FILE__, __LINE__);
  }

public:
  explicit Guard (std::mutex &mutex): held (mutex, std::defer_lock) { lock (); }
  Guard (const Guard &) = delete;

  ~Guard ()
  {
    if (held.owns_lock ())
      unlock ();
  }

  void
  lock ()
  {
    hide ();
    held.lock ();
  }

  void
  unlock ()
  {
    held.unlock ();
    show ();
  }

  template <typename Condition> void
  wait (std::condition_variable &changed, Condition condition)
  {
    while (!condition ())
      changed.wait (held);
  }

  /* Below: as publish and observe, with the mutex held. */
  void
  publish (const void *object)
  {
    ON_CPU_TSAN_CALL (AnnotateIgnoreSyncEnd, __FILE__, __LINE__);
    on_cpu::publish (object);
    ON_CPU_TSAN_CALL (AnnotateIgnoreSyncBegin, __FILE__, __LINE__);
  }

  void
  observe (const void *object)
  {
    ON_CPU_TSAN_CALL (AnnotateIgnoreSyncEnd, __FILE__, __LINE__);
    on_cpu::observe (object);
    ON_CPU_TSAN_CALL (AnnotateIgnoreSyncBegin, __FILE__, __LINE__);
  }
};

} // namespace on_cpu
