package report

import (
	"strings"

	"github.com/felhom/tend/proxmox/health"
)

// DisksOf puts what was read of nodes' disks and sensors (live.Disks) into the form of a report. What could not be read
// is not in it: nothing is told of it.
func DisksOf(nodes []*health.Node) (disks []Disk, sensors []Sensor) {
	for _, n := range nodes {
		for _, d := range n.Disks {
			x := Disk{
				Node: n.Name, Device: d.Device, Model: d.Model, Serial: d.Serial, Health: healthOf(d.Level), Problem: strings.Join(d.Reasons, "; "),
				Storages: n.StoragesOf(d.Device), Read: d.Read,
			}
			if d.Celsius != nil {
				x.Celsius = int(*d.Celsius)
			}
			if d.Wear != nil {
				x.WearPercent = int(*d.Wear)
			}
			disks = append(disks, x)
		}
		for _, s := range n.Sensors {
			x := Sensor{Node: n.Name, Name: s.Name, Value: s.Value, Unit: s.Unit}
			for _, limit := range []*float64{s.Crit, s.High} { // the lower one counts
				if limit != nil {
					x.Limit = *limit
				}
			}
			sensors = append(sensors, x)
		}
	}
	return disks, sensors
}

// healthOf is the health of a level: a disk that is only warned of is well.
func healthOf(l health.Level) Health {
	switch l {
	case health.Failing:
		return Degraded
	case health.NotKnown:
		return UnknownHealth
	}
	return Healthy
}
