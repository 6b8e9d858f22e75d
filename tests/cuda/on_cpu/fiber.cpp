/* Switching stacks. A fiber is entered once by setcontext, later by the compiler's
 * own setjmp, which saves three registers and makes no system call.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fiber.h"

#include "sanitizers.h"

#include <string.h>
#include <ucontext.h>

/* Nothing may run between telling a sanitizer and jumping. */
#define BARE __attribute__ ((noinline, noclone, \
      no_sanitize ("address", "thread", "undefined")))

namespace on_cpu
{

/* A function may not have both of the pair. */
[[noreturn]] BARE static void
leap (void **to)
{
  __builtin_longjmp (to, 1);
}

BARE static void
jump (void **from, void **to)
{
  if (__builtin_setjmp (from) == 0)
    leap (to);
}

BARE static void
jump_first (void **from, const ucontext_t *to)
{
  if (__builtin_setjmp (from) == 0)
    setcontext (to);
}

void
fiber_init (Fiber *fiber, void *stack, size_t stack_size)
{
  memset (fiber, 0, sizeof *fiber);
  fiber->stack = stack;
  fiber->stack_size = stack_size;
#ifdef ON_CPU_TSAN
  fiber->tsan = __tsan_create_fiber (0);
#endif
}

UNSEEN void
fiber_resume (Fiber *fiber, void (*entry) ())
{
  ucontext_t first;

  if (!fiber->started) {
    getcontext (&first);
    first.uc_stack.ss_sp = fiber->stack;
    first.uc_stack.ss_size = fiber->stack_size;
    first.uc_link = nullptr;
    makecontext (&first, entry, 0);
  }
#ifdef ON_CPU_ASAN
  __sanitizer_start_switch_fiber (&fiber->resumer_fake_stack, fiber->stack,
      fiber->stack_size);
#endif
#ifdef ON_CPU_TSAN
  fiber->resumer_tsan = __tsan_get_current_fiber ();
  __tsan_switch_to_fiber (fiber->tsan, __tsan_switch_to_fiber_no_sync);
#endif
  if (fiber->started) {
    jump (fiber->resumer, fiber->context);
  } else {
    fiber->started = true;
    jump_first (fiber->resumer, &first);
  }
#ifdef ON_CPU_ASAN
  __sanitizer_finish_switch_fiber (fiber->resumer_fake_stack, nullptr, nullptr);
#endif
}

UNSEEN void
fiber_enter (Fiber *fiber)
{
#ifdef ON_CPU_ASAN
  __sanitizer_finish_switch_fiber (fiber->fake_stack, &fiber->resumer_stack,
      &fiber->resumer_stack_size);
#else
  (void) fiber;
#endif
}

UNSEEN void
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
