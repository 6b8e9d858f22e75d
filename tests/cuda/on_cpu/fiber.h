/* Fibers: functions with a stack of their own, which a thread resumes and which
 * suspend themselves. Each belongs to the thread that started it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

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

/* Runs the fiber, `entry` at first, until it suspends itself. For ThreadSanitizer
 * this orders nothing. */
void fiber_resume (Fiber *fiber, void (*entry) ());

/* Of the fiber that runs. `ordered`: what it did happens before what its resumer
 * does next. */
void fiber_suspend (Fiber *fiber, bool ordered);

/* To be called by `entry` first. */
void fiber_enter (Fiber *fiber);

} // namespace on_cpu
