package spec

import (
	"time"

	"github.com/felhom/tend/proxmox/calendar"
)

// mostJobTime is how long a job may take to get to a container: it backs up one after the other.
const mostJobTime = 12 * time.Hour

// Limit is until when a backup of a time is new enough to be the newest; the zero time where there is no limit. The
// job's schedule is read in a time zone: that of the node, which the spec should name as the cluster's. Where no maxAge
// is written, a job has half the time to its next run, and at most half a day, to get to a container.
func (j *BackupJob) Limit(at time.Time, zone *time.Location) time.Time {
	if j.MaxAge > 0 {
		return at.Add(j.MaxAge)
	}
	e, err := calendar.Parse(JobSchedule.Or(j.Settings, ""))
	if err != nil || !JobEnabled.Or(j.Settings, true) {
		return time.Time{}
	}
	times := calendar.Options{Location: zone}
	next, ok := e.Next(at, times)
	if !ok {
		return time.Time{}
	}
	grace := mostJobTime
	if after, ok := e.Next(next, times); ok {
		grace = min(grace, after.Sub(next)/2)
	}
	return next.Add(grace)
}
