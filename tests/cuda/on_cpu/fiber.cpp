/* Switching stacks. A fiber is entered once by setcontext, later by the compiler's
 * own setjmp, which saves three registers and makes no system call.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fiber.h"

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

BARE void
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
fiber_start (Fiber *fiber, void (*entry) ())
{
  ucontext_t first;

  getcontext (&first);
  first.uc_stack.ss_sp = fiber->stack;
  first.uc_stack.ss_size = fiber->stack_size;
  first.uc_link = nullptr;
  makecontext (&first, entry, 0);
  fiber->started = true;
  before_resume (fiber);
  jump_first (fiber->resumer, &first);
  after_resume (fiber);
}

} // namespace on_cpu
