/* Fibers: functions with a stack of their own, which a thread resumes and which
 * suspend themselves. Each belongs to the thread that started it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "sanitizers.h"

#include <stddef.h>

namespace on_cpu
{

struct Fiber
{
  void *context[5], *resumer[5];        /* __builtin_setjmp's */
  void *stack;
  size_t stack_size;
  bool started;

  void *tsan, *resumer_tsan;
  void *fake_stack, *resumer_fake_stack;        /* AddressSanitizer's */
  const void *resumer_stack;
  size_t resumer_stack_size;
};

/* `entry` never returns; it finds what it works for by its stack. */
void fiber_init (Fiber *fiber, void *stack, size_t stack_size);

/* Parts of fiber_resume and fiber_suspend that are not inline. */
void jump (void **from, void **to);
void fiber_start (Fiber *fiber, void (*entry) ());

UNSEEN static inline void
before_resume (Fiber *fiber)
{
  (void) fiber;
#ifdef ON_CPU_ASAN
  __sanitizer_start_switch_fiber (&fiber->resumer_fake_stack, fiber->stack,
      fiber->stack_size);
#endif
#ifdef ON_CPU_TSAN
  fiber->resumer_tsan = __tsan_get_current_fiber ();
  __tsan_switch_to_fiber (fiber->tsan, __tsan_switch_to_fiber_no_sync);
#endif
}

UNSEEN static inline void
after_resume (Fiber *fiber)
{
  (void) fiber;
#ifdef ON_CPU_ASAN
  __sanitizer_finish_switch_fiber (fiber->resumer_fake_stack, nullptr, nullptr);
#endif
}

/* Runs the fiber, `entry` at first, until it suspends itself. For ThreadSanitizer
 * this orders nothing. Inline, as is what suspends it: after a switch the processor
 * guesses wrong where a function returns to. */
UNSEEN static inline void
fiber_resume (Fiber *fiber, void (*entry) ())
{
  if (!fiber->started) {
    fiber_start (fiber, entry);
    return;
  }
  before_resume (fiber);
  jump (fiber->resumer, fiber->context);
  after_resume (fiber);
}

/* To be called by `entry` first. */
UNSEEN static inline void
fiber_enter (Fiber *fiber)
{
  (void) fiber;
#ifdef ON_CPU_ASAN
  __sanitizer_finish_switch_fiber (fiber->fake_stack, &fiber->resumer_stack,
      &fiber->resumer_stack_size);
#endif
}

/* Of the fiber that runs. `ordered`: what it did happens before what its resumer
 * does next. */
UNSEEN static inline void
fiber_suspend (Fiber *fiber, bool ordered)
{
  (void) ordered;
#ifdef ON_CPU_ASAN
  __sanitizer_start_switch_fiber (&fiber->fake_stack, fiber->resumer_stack,
      fiber->resumer_stack_size);
#endif
#ifdef ON_CPU_TSAN
  __tsan_switch_to_fiber (fiber->resumer_tsan,
      ordered ? 0 : __tsan_switch_to_fiber_no_sync);
#endif
  jump (fiber->context, fiber->resumer);
  fiber_enter (fiber);
}

} // namespace on_cpu
