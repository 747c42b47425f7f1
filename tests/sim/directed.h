/* Schedules written by hand: the shortest ones that break a design without the rule that they are about (D1 to D19). */
#ifndef DIRECTED_H
#define DIRECTED_H

#include "schedule.h"

#define DIRECTED_SEEDS 40 /* most are played with so many: pauses, delays and the order of threads differ */

/* Name and one line about it; false beyond the last. */
bool directed_name(unsigned index, const char **name, const char **about);
/* How many seeds it is played with. */
uint64_t directed_seeds(unsigned index);
void directed_make(unsigned index, uint64_t seed, struct schedule *schedule);

#endif
