package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// interpretDisks reads the limits of disks, whole numbers of which 0 is the default, and the disks that are used though
// they are failing.
func (c *Config) interpretDisks() error {
	var faults []error
	for _, l := range []struct {
		name Name
		most int64
		into *int64
	}{
		{DiskWearWarning, 255, &c.Disks.WearWarning},
		{DiskWearFailing, 255, &c.Disks.WearFailing},
		{DiskCelsius, 150, &c.Disks.Celsius},
		{DiskErrorsWarning, 1 << 40, &c.Disks.ErrorsWarning},
		{DiskErrorsFailing, 1 << 40, &c.Disks.ErrorsFailing},
		{DiskReallocatedWarning, 1 << 40, &c.Disks.ReallocatedWarning},
	} {
		v := c.Get(l.name)
		if v.Text == "" {
			continue
		}
		n, err := strconv.ParseInt(v.Text, 10, 64)
		if err != nil || n < 0 || n > l.most {
			faults = append(faults, fmt.Errorf("%s: %s: %q is not a whole number from 0 to %d", v.place(), l.name, v.Text, l.most))
			continue
		}
		*l.into = n
	}
	for _, text := range strings.Split(c.Get(AllowFailingDisks).Text, ",") {
		if text = strings.TrimSpace(text); text != "" {
			c.AllowFailingDisks = append(c.AllowFailingDisks, text)
		}
	}
	return errors.Join(faults...)
}
