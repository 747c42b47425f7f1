/* Memory of one schedule: everything allocated while it runs, given back in one go at its end, for killed processes free
 * nothing. Mappings of hosts come from a pool. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

/* Begins a schedule: from here on malloc() and mmap() take from the schedule's memory. */
void memory_begin(void);
/* Ends it: all of that memory is gone. */
void memory_end(void);

#endif
