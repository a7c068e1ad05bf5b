package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/health"
)

// TestDisks reads the limits of disks, and says which of them cannot be.
func TestDisks(t *testing.T) {
	load := func(env map[string]string) (*config.Config, error) {
		return config.Load(config.Sources{Env: func(name string) string { return env[name] }})
	}
	c, err := load(map[string]string{
		"TEND_DISK_WEAR_WARNING": "70", "TEND_DISK_WEAR_FAILING": "100", "TEND_DISK_CELSIUS": "55", "TEND_DISK_ERRORS_WARNING": "2",
		"TEND_DISK_ERRORS_FAILING": "50", "TEND_DISK_REALLOCATED_WARNING": "5", "TEND_ALLOW_FAILING_DISKS": "pve1:sda, WD-1,",
	})
	want := health.Limits{WearWarning: 70, WearFailing: 100, Celsius: 55, ErrorsWarning: 2, ErrorsFailing: 50, ReallocatedWarning: 5}
	if err != nil || c.Disks != want {
		t.Errorf("got %+v, %v", c, err)
	}
	if d := cmp.Diff([]string{"pve1:sda", "WD-1"}, c.AllowFailingDisks); d != "" {
		t.Error(d)
	}
	if c, err := load(nil); err != nil || c.Disks != (health.Limits{}) || c.AllowFailingDisks != nil {
		t.Errorf("nothing is set: %+v, %v", c, err)
	}
	for name, value := range map[string]string{"TEND_DISK_CELSIUS": "151", "TEND_DISK_WEAR_FAILING": "-1", "TEND_DISK_ERRORS_FAILING": "1e3", "TEND_DISK_WEAR_WARNING": "80 %"} {
		if _, err := load(map[string]string{name: value}); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "is not a whole number from 0 to") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
