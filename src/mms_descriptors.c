/* A flat table: it is touched once per connect, and read once per fork. */
#include "mms_descriptors.h"

#include <unistd.h>

void mms_descriptors_add(struct mms_descriptors *table, int fd)
{
	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX && fd >= 0; i++) {
		int expected = 0;

		if (atomic_compare_exchange_strong(&table->slots[i], &expected, fd + 1)) {
			return;
		}
	}
}

void mms_descriptors_remove(struct mms_descriptors *table, int fd)
{
	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX && fd >= 0; i++) {
		int expected = fd + 1;

		if (atomic_compare_exchange_strong(&table->slots[i], &expected, 0)) {
			return;
		}
	}
}

void mms_descriptors_close_all(struct mms_descriptors *table)
{
	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX; i++) {
		int stored = atomic_exchange(&table->slots[i], 0);

		if (stored > 0) {
			(void)close(stored - 1);
		}
	}
}
