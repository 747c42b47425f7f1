/* Counters of a cluster, in shared memory: any process adds, relaxed; mmsession_status() reads them by name. */
#ifndef MMS_METRICS_H
#define MMS_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(name): one counter and its name in mmsession_status(). */
#define MMS_METRICS_LIST(X) \
	X(reads) X(writes) X(touches) X(destroys) X(unchanged) X(mirrored) X(mirror_failures) X(conflicts) X(discards) \
	X(late_writes) X(read_repairs) X(failovers) X(slow_skips) X(backlog_reads) X(skipped_peers) X(uncertain_reads) X(blind_writes) X(imports) \
	X(corrupt_records) X(future_stamps) X(foreign_keys) X(refused_writes) X(failed_reads) X(failed_writes) \
	X(degraded_reads) X(degraded_writes) X(write_backs) X(token_local_reads) X(token_full_reads) X(token_wide_writes) \
	X(lock_waits) X(lock_timeouts) X(lock_overlaps) \
	X(mailbox_full) X(hints_made) X(hints_delivered) X(hint_overflows) X(takeovers) X(noscripts) \
	X(repair_scanned) X(repair_moved) X(repair_bytes) X(repairs)

#define MMS_METRIC_FIELD(name) _Atomic uint64_t name;
struct mms_metrics_sh { MMS_METRICS_LIST(MMS_METRIC_FIELD) };
#undef MMS_METRIC_FIELD

#define MMS_METRIC_ENUM(name) MMS_METRIC_##name,
enum mms_metric { MMS_METRICS_LIST(MMS_METRIC_ENUM) MMS_METRIC_COUNT };
#undef MMS_METRIC_ENUM

void mms_metrics_add(struct mms_metrics_sh *metrics, enum mms_metric metric, uint64_t amount);
uint64_t mms_metrics_get(const struct mms_metrics_sh *metrics, enum mms_metric metric);
const char *mms_metrics_name(enum mms_metric metric);

#endif
