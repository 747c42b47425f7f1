/* The switch saves what the ABI asks a callee to save; everything else the compiler has saved around the call. */
#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef SIM_REAL_MALLOC
#include <sanitizer/asan_interface.h>
#define STACK_BYTES (1024 * 1024)
#else
#define STACK_BYTES (256 * 1024)
#endif
#define GUARD_BYTES 4096
#define POOL_MAX 256

static void *pool[POOL_MAX];
static unsigned pool_count;

void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

#if defined(__x86_64__)
void fiber_swap(void **save, void *load);
void fiber_first(void);

__asm__(
	".text\n"
	".globl fiber_swap\n"
	"fiber_swap:\n"
	"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbx\n	popq %rbp\n"
	"	ret\n"
	".globl fiber_first\n"
	"fiber_first:\n"
	"	movq %r12, %rdi\n"
	"	callq *%r13\n"
	"	ud2\n");

enum { SAVED = 6, SLOT_ARGUMENT = 3, SLOT_ENTRY = 2 }; /* r15 r14 r13 r12 rbx rbp, lowest first */
#elif defined(__aarch64__)
void fiber_swap(void **save, void *load);
void fiber_first(void);

__asm__(
	".text\n"
	".globl fiber_swap\n"
	"fiber_swap:\n"
	"	sub sp, sp, #176\n"
	"	stp x19, x20, [sp, #0]\n	stp x21, x22, [sp, #16]\n	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n	stp x27, x28, [sp, #64]\n	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n	stp d12, d13, [sp, #128]\n	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n	str x9, [x0]\n	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n	ldp x21, x22, [sp, #16]\n	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n	ldp x27, x28, [sp, #64]\n	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n	ldp d12, d13, [sp, #128]\n	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #176\n	ret\n"
	".globl fiber_first\n"
	"fiber_first:\n"
	"	mov x0, x19\n	blr x20\n	brk #1\n");
#else
#error "fiber.c knows x86_64 and aarch64; add the switch of this processor"
#endif

void fiber_prepare(struct fiber *fiber, void (*entry)(void *argument), void *argument)
{
	uintptr_t top;
	uintptr_t *frame;

	if (pool_count > 0) {
		fiber->stack = pool[--pool_count];
	} else {
		fiber->stack = __real_mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (fiber->stack == MAP_FAILED || mprotect(fiber->stack, GUARD_BYTES, PROT_NONE) != 0) {
			perror("sim: stack");
			abort();
		}
	}
#ifdef SIM_REAL_MALLOC
	/* Whoever had it last may have been killed amid its functions. */
	ASAN_UNPOISON_MEMORY_REGION((char *)fiber->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
#endif
	top = ((uintptr_t)fiber->stack + STACK_BYTES) & ~(uintptr_t)15;
#if defined(__x86_64__)
	frame = (uintptr_t *)top - 9; /* so that the stack is aligned where fiber_first calls */
	for (int i = 0; i < 9; i++) {
		frame[i] = 0;
	}
	frame[SLOT_ARGUMENT] = (uintptr_t)argument;
	frame[SLOT_ENTRY] = (uintptr_t)entry;
	frame[SAVED] = (uintptr_t)fiber_first;
#else
	frame = (uintptr_t *)(top - 176);
	for (int i = 0; i < 22; i++) {
		frame[i] = 0;
	}
	frame[0] = (uintptr_t)argument;
	frame[1] = (uintptr_t)entry;
	frame[11] = (uintptr_t)fiber_first;
#endif
	fiber->stack_pointer = frame;
}

void fiber_switch(struct fiber *from, const struct fiber *to)
{
	fiber_swap(&from->stack_pointer, to->stack_pointer);
}

void fiber_release(struct fiber *fiber)
{
	if (fiber->stack == NULL) {
		return;
	}
	if (pool_count == POOL_MAX) {
		(void)munmap(fiber->stack, STACK_BYTES);
	} else {
		pool[pool_count++] = fiber->stack;
	}
	fiber->stack = NULL;
}
