/* Made, run and freed in the order in which its parts depend on each other. */
#include "mms_upkeep.h"

#include <stdlib.h>

#include "mms_avoided.h"
#include "mms_closing.h"
#include "mms_delivery.h"
#include "mms_hosts.h"
#include "mms_marker.h"
#include "mms_reconcile.h"
#include "mms_repair.h"
#include "mms_strangers.h"
#include "mms_survey.h"

struct mms_upkeep {
	struct mms_office *office;
	struct mms_reconciler *reconciler;
	struct mms_delivery *delivery;
	struct mms_hosts *hosts;
	struct mms_strangers strangers;
	struct mms_avoided *avoided; /* NULL: none, for want of memory */
	struct mms_repair *repair;
	struct mms_closing *closing;
	struct mms_survey *survey; /* NULL: none, for want of memory */
};

struct mms_upkeep *mms_upkeep_new(struct mms_office *office)
{
	struct mms_upkeep *upkeep = calloc(1, sizeof *upkeep);

	if (upkeep == NULL) {
		return NULL;
	}
	upkeep->office = office;
	upkeep->reconciler = mms_reconciler_new(office);
	upkeep->hosts = mms_hosts_new(office);
	upkeep->closing = mms_closing_new(office);
	upkeep->survey = mms_survey_new(office);
	if (upkeep->reconciler != NULL && upkeep->hosts != NULL) {
		mms_strangers_init(&upkeep->strangers, upkeep->hosts);
		upkeep->avoided = mms_avoided_new(office, upkeep->hosts);
		upkeep->delivery = mms_delivery_new(office, upkeep->reconciler);
		upkeep->repair = mms_repair_new(office, upkeep->reconciler, upkeep->hosts);
	}
	if (upkeep->delivery == NULL || upkeep->repair == NULL || upkeep->closing == NULL) {
		mms_upkeep_free(upkeep);
		return NULL;
	}
	return upkeep;
}

void mms_upkeep_free(struct mms_upkeep *upkeep)
{
	if (upkeep != NULL) {
		mms_survey_free(upkeep->survey);
		mms_closing_free(upkeep->closing);
		mms_repair_free(upkeep->repair);
		mms_delivery_free(upkeep->delivery);
		mms_avoided_free(upkeep->avoided);
		mms_hosts_free(upkeep->hosts);
		mms_reconciler_free(upkeep->reconciler);
		free(upkeep);
	}
}

void mms_upkeep_run(struct mms_upkeep *upkeep)
{
	mms_survey_run(upkeep->survey);
	mms_hosts_run(upkeep->hosts);
	mms_strangers_run(&upkeep->strangers);
	mms_avoided_run(upkeep->avoided);
	mms_marker_run(upkeep->office);
	mms_delivery_run(upkeep->delivery);
	mms_repair_run(upkeep->repair);
	mms_closing_run(upkeep->closing);
}

int64_t mms_upkeep_next_us(const struct mms_upkeep *upkeep)
{
	const int64_t each[] = { mms_hosts_next_us(upkeep->hosts), mms_delivery_next_us(upkeep->delivery),
		mms_repair_next_us(upkeep->repair), mms_closing_next_us(upkeep->closing) };
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
		next = each[i] < next ? each[i] : next;
	}
	return next;
}

bool mms_upkeep_idle(const struct mms_upkeep *upkeep)
{
	return mms_delivery_next_us(upkeep->delivery) == INT64_MAX;
}

bool mms_upkeep_leave(struct mms_upkeep *upkeep)
{
	return mms_hosts_leave(upkeep->hosts);
}
