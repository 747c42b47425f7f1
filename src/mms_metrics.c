/* Counters by number and by name. The list in the header makes struct, numbers and names, so they can't disagree. */
#include "mms_metrics.h"

#include <stddef.h>

#define METRIC_OFFSET(name) offsetof(struct mms_metrics_sh, name),
static const size_t offsets[] = {MMS_METRICS_LIST(METRIC_OFFSET)};
#undef METRIC_OFFSET

#define METRIC_NAME(name) #name,
static const char *const names[] = {MMS_METRICS_LIST(METRIC_NAME)};
#undef METRIC_NAME

void mms_metrics_add(struct mms_metrics_sh *metrics, enum mms_metric metric, uint64_t amount)
{
	if ((unsigned) metric < MMS_METRIC_COUNT) {
		_Atomic uint64_t *counter = (void *) ((char *) metrics + offsets[metric]);

		atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
	}
}

uint64_t mms_metrics_get(const struct mms_metrics_sh *metrics, enum mms_metric metric)
{
	if ((unsigned) metric >= MMS_METRIC_COUNT) {
		return 0;
	}
	const _Atomic uint64_t *counter = (const void *) ((const char *) metrics + offsets[metric]);

	return atomic_load_explicit(counter, memory_order_relaxed);
}

const char *mms_metrics_name(enum mms_metric metric)
{
	return (unsigned) metric < MMS_METRIC_COUNT ? names[metric] : "";
}
