/* Calls of the C library and the kernel that fail on purpose: the n-th of all that are made while armed, in the way that
 * is asked for. One source, two uses: linked in with -Wl,--wrap (torture.c), and as a library for LD_PRELOAD that fails
 * calls of the module and of its libraries alone (php.py). */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

/* From now on the n-th call (1 = the next) fails in its way-th way (0 = the first). */
void faults_arm(unsigned long n, unsigned way);
void faults_disarm(void);
/* Goes on counting where faults_disarm() ended it. */
void faults_resume(void);

/* Since faults_arm(): how many calls were made, the name of the one that failed (NULL = none did), how it failed, and how
 * many ways that one has. */
unsigned long faults_calls(void);
const char *faults_hit(void);
const char *faults_how(void);
unsigned faults_ways(void);

/* Where it failed, to standard error. */
void faults_show(void);

/* Blocks of memory that are allocated and not freed, by those who allocate through here. */
long faults_blocks(void);

#endif
