package health_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
)

var now = time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func n(v int64) *int64 { return &v }

// text is a disk in a line.
func text(d health.Disk) string {
	num := func(name string, v *int64) string {
		if v == nil {
			return ""
		}
		return fmt.Sprintf(" %s=%d", name, *v)
	}
	return fmt.Sprintf("%s %s %s", d.Device, d.Kind, d.Check) + num("wear", d.Wear) + num("spare", d.Spare) + num("c", d.Celsius) + num("max", d.MaxCelsius) +
		num("reallocated", d.Reallocated) + num("pending", d.Pending) + num("errors", d.Errors) + num("hours", d.Hours) +
		" " + string(d.Level) + ": " + strings.Join(d.Reasons, "; ")
}

// TestSmartctl reads disks of each kind.
func TestSmartctl(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"ata-hdd-failed.json", "/dev/sdc hdd failed c=36 max=65 reallocated=1975 pending=8 errors=0 hours=65592 failing: its own health check failed (FAILED!); it could not read 8 sectors and waits to replace them; it has replaced 1975 bad sectors"},
		{"ata-ssd-worn.json", "/dev/sda ssd passed wear=86 c=31 reallocated=0 hours=21033 warning: 86 % of its endurance is used"},
		{"nvme-media-errors.json", "/dev/nvme0 nvme passed wear=3 spare=100 c=44 max=82 errors=7 hours=12798 warning: it lost data: 7 uncorrected errors"},
		{"nvme-failed.json", "/dev/nvme1 nvme failed wear=104 spare=4 c=40 errors=0 hours=18376 failing: its own health check failed (FAILED!); 104 % of its endurance is used; 4 % of its spare blocks are left, fewer than the 10 % that it calls for"},
		{"scsi-defects.json", "/dev/sdg hdd passed c=34 max=68 reallocated=56 errors=2 hours=43549 warning: it lost data: 2 uncorrected errors; it has replaced 56 bad sectors"},
		{"usb-silent.json", "/dev/sdb hdd unknown unknown: "},
	} {
		t.Run(tt.file, func(t *testing.T) {
			d, err := health.ParseSmartctl(sample(t, tt.file), now)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(health.Limits{}.Judge(d)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if want := time.Unix(1764000000, 0); !d.Read.Equal(want) || d.Age(want.Add(time.Minute)) != time.Minute || d.Age(want.Add(-time.Hour)) != 0 {
				t.Errorf("it was read at %v", d.Read)
			}
		})
	}
	if _, err := health.ParseSmartctl(sample(t, "no-device.json"), now); !errors.Is(err, health.ErrNoReading) || !strings.Contains(err.Error(), "No such device") {
		t.Errorf("a disk that is not there: %v", err)
	}
	if _, err := health.ParseSmartctl([]byte("smartctl 7.4"), now); err == nil || errors.Is(err, health.ErrNoReading) {
		t.Errorf("no JSON: %v", err)
	}
}

// TestAPI reads the same from what Proxmox tells.
func TestAPI(t *testing.T) {
	nvme := proxmox.Disk{Device: "/dev/nvme0n1", Type: "nvme", Model: "NVME_MODEL", Serial: "unknown", Size: 512000, Health: "PASSED", Wearout: "69"}
	d := health.FromList(nvme, now)
	if got, want := text(health.Limits{}.Judge(d)), "/dev/nvme0n1 nvme passed wear=31 ok: "; got != want || d.Serial != "" || d.Model != "NVME MODEL" {
		t.Errorf("got %s (%+v)", got, d)
	}
	d = d.AddSmart(proxmox.Smart{Health: "PASSED", Type: "text", Wearout: "69", Text: "\nSMART/Health Information (NVMe Log 0x02, NSID 0xffffffff)\nCritical Warning:                   0x00\n" +
		"Temperature:                        82 Celsius\nAvailable Spare:                    100%\nAvailable Spare Threshold:          10%\nPercentage Used:                    31%\n" +
		"Power On Hours:                     1,687\nMedia and Data Integrity Errors:    0\n"}, now)
	if got, want := text(health.Limits{}.Judge(d)), "/dev/nvme0n1 nvme passed wear=31 spare=100 c=82 errors=0 hours=1687 warning: it is 82 °C hot, and 70 °C is too much"; got != want {
		t.Errorf("got %s", got)
	}
	hdd := health.FromList(proxmox.Disk{Device: "/dev/sda", Type: "hdd", Health: "UNKNOWN", Wearout: "N/A"}, now)
	if got, want := text(health.Limits{}.Judge(hdd)), "/dev/sda hdd unknown unknown: "; got != want || hdd.Said != "" {
		t.Errorf("got %s", got)
	}
	hdd = hdd.AddSmart(proxmox.Smart{Health: "PASSED", Type: "ata", Attributes: []proxmox.SmartAttribute{
		{ID: "  5", Raw: "12"}, {ID: "  9", Raw: "65592h+13m+2.5s"}, {ID: "190", Raw: "40 (0 12 45 22 0)"}, {ID: "194", Raw: "35 (Min/Max 21/48)"}, {ID: "197", Raw: "1"}, {ID: "198", Raw: "-"}, {ID: "x", Raw: "1"},
	}}, now)
	if got, want := text(health.Limits{}.Judge(hdd)), "/dev/sda hdd passed c=35 reallocated=12 pending=1 hours=65592 warning: it could not read 1 sector and waits to replace it; it has replaced 12 bad sectors"; got != want {
		t.Errorf("got %s", got)
	}
}

// TestWear takes the attribute that Proxmox takes, in the order of its list.
func TestWear(t *testing.T) {
	d := health.Disk{Device: "/dev/sda", Kind: "ssd"}.AddSmart(proxmox.Smart{Health: "PASSED", Type: "ata", Attributes: []proxmox.SmartAttribute{
		{ID: "231", Name: "SSD_Life_Left", Value: 90, Raw: "90"}, {ID: "233", Name: "Media_Wearout_Indicator", Value: 97, Raw: "0"},
	}}, now)
	if d.Wear == nil || *d.Wear != 3 {
		t.Errorf("got %s", text(d))
	}
}

func TestCheckOf(t *testing.T) {
	for said, want := range map[string]health.Check{
		"PASSED": health.Passed, "OK": health.Passed, "FAILED!": health.Failed, "FAILED! Drive failure expected in less than 24 hours. SAVE ALL DATA.": health.Failed,
		"HARDWARE IMPENDING FAILURE TOO MANY BLOCK REASSIGNS [asc=5d, ascq=14]": health.Failed, "FAILURE PREDICTION THRESHOLD EXCEEDED [asc=5d, ascq=0]": health.Failed,
		"FAILURE PREDICTION THRESHOLD EXCEEDED (FALSE) [asc=5d, ascq=ff]": health.Unknown, "SMART Disabled": health.Unknown, "UNKNOWN": health.Unknown, "": health.Unknown,
	} {
		if got := health.CheckOf(said); got != want {
			t.Errorf("%q is %s, want %s", said, got, want)
		}
	}
}

// TestLimits moves each limit.
func TestLimits(t *testing.T) {
	good := health.Disk{Kind: "hdd", Check: health.Passed, Wear: n(50), Celsius: n(59), Reallocated: n(9), Pending: n(0), Errors: n(0)}
	if d := (health.Limits{}).Judge(good); d.Level != health.OK || len(d.Reasons) != 0 {
		t.Errorf("a good disk is %s: %v", d.Level, d.Reasons)
	}
	bad := good
	bad.Pending = n(5)
	for _, tt := range []struct {
		name string
		l    health.Limits
		d    health.Disk
		want health.Level
	}{
		{"wear", health.Limits{WearWarning: 50}, good, health.Warning},
		{"wear that counts as failing", health.Limits{WearFailing: 50}, good, health.Failing},
		{"heat", health.Limits{Celsius: 59}, good, health.Warning},
		{"heat that it stands itself", health.Limits{}, health.Disk{Check: health.Passed, Celsius: n(61), MaxCelsius: n(65)}, health.OK},
		{"replaced sectors", health.Limits{ReallocatedWarning: 9}, good, health.Warning},
		{"sectors that wait", health.Limits{}, bad, health.Warning},
		{"fewer than is allowed", health.Limits{ErrorsWarning: 6}, bad, health.OK},
		{"more than is allowed", health.Limits{ErrorsFailing: 5}, bad, health.Failing},
		{"a warning does not lift a failure", health.Limits{}, health.Disk{Check: health.Failed, Wear: n(90)}, health.Failing},
		{"unknown, and hot", health.Limits{}, health.Disk{Check: health.Unknown, Celsius: n(80)}, health.Warning},
		{"a check that warns", health.Limits{}, health.Disk{Check: health.Unknown, Said: "WARNING - SPECIFIED TEMPERATURE EXCEEDED"}, health.Warning},
	} {
		if d := tt.l.Judge(tt.d); d.Level != tt.want || (d.Level == health.OK) != (len(d.Reasons) == 0) {
			t.Errorf("%s: %s (%v), want %s", tt.name, d.Level, d.Reasons, tt.want)
		}
	}
}

func TestIs(t *testing.T) {
	d := health.Disk{Device: "/dev/sda", Serial: "WD-1"}
	for name, want := range map[string]bool{"sda": true, "/dev/sda": true, "WD-1": true, "pve1:sda": true, "pve1:WD-1": true, "pve2:sda": false, "sdb": false, "": false, "pve1:": false, "sd": false} {
		if d.Is("pve1", name) != want {
			t.Errorf("%q names it: %v", name, !want)
		}
	}
	if (health.Disk{Device: "/dev/sda"}).Is("pve1", "pve1:") {
		t.Error("a disk without a serial number has an empty one")
	}
}

func TestSensors(t *testing.T) {
	list, err := health.ParseSensors(sample(t, "sensors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, fmt.Sprintf("%s %s %g %s %s %s", s.Chip, s.Name, s.Value, s.Unit, s.Level, strings.Join(s.Reasons, "; ")))
	}
	want := []string{
		"coretemp-isa-0000 Core 2 83.5 °C warning 83.5 °C is too hot, from 80 °C on",
		"coretemp-isa-0000 Core 10 46 °C ok ",
		"coretemp-isa-0000 Package id 0 47 °C ok ",
		"nct6798-isa-0290 fan1 0 rpm warning 0 rpm is too slow, below 300 rpm",
		"nct6798-isa-0290 fan2 980 rpm ok ",
		"nvme-pci-0100 Composite 38.85 °C ok ",
		"nvme-pci-0100 Sensor 1 38.85 °C ok ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if list[6].High != nil {
		t.Errorf("a limit that cannot be reached is one: %g", *list[6].High)
	}
	if _, err := health.ParseSensors([]byte("No sensors found!")); err == nil {
		t.Error("what is no JSON is read")
	}
}

func FuzzSmartctl(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no samples", err)
	}
	for _, file := range files {
		f.Add(sample(f, filepath.Base(file)))
	}
	f.Add([]byte(`{"device":{"name":"/dev/sda"},"model_name":"x","temperature":{"current":1e300},"ata_smart_attributes":{"table":[{"id":9,"raw":{"value":-1}}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := health.ParseSmartctl(raw, now)
		if err != nil {
			return
		}
		whole(t, health.Limits{}.Judge(d))
		whole(t, health.Limits{}.Judge(health.Disk{Device: "/dev/sda", Check: health.Unknown}.Merge(d)))
	})
}

// whole insists that a disk that was judged is one that can be shown.
func whole(t *testing.T, d health.Disk) {
	t.Helper()
	if d.Check != health.Passed && d.Check != health.Failed && d.Check != health.Unknown {
		t.Fatalf("its check is %q", d.Check)
	}
	if (d.Level == health.OK || d.Level == health.NotKnown) != (len(d.Reasons) == 0) || d.Check == health.Failed && d.Level != health.Failing {
		t.Fatalf("it is %s for %v", d.Level, d.Reasons)
	}
	if d.Celsius != nil && (*d.Celsius <= 0 || *d.Celsius >= 150) {
		t.Fatalf("it is %d °C", *d.Celsius)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Fatal(err)
	}
}

func FuzzSmartText(f *testing.F) {
	f.Add("PASSED", "Temperature:   32 Celsius\nPercentage Used:   31%\n", "  5", "12 (3 4)")
	f.Add("OK", "Current Drive Temperature:     20 C\nElements in grown defect list: 0\n", "194", "9223372036854775808")
	f.Fuzz(func(t *testing.T, said, text, id, raw string) {
		d := health.FromList(proxmox.Disk{Device: "/dev/sda", Type: "ssd", Health: said, Wearout: raw}, now)
		whole(t, health.Limits{}.Judge(d.AddSmart(proxmox.Smart{Health: said, Text: text, Attributes: []proxmox.SmartAttribute{{ID: id, Raw: raw}}, Wearout: raw}, now)))
	})
}

func FuzzSensors(f *testing.F) {
	f.Add(sample(f, "sensors.json"))
	f.Add([]byte(`{"a":{"x":{"_input":1,"temp_input":2,"fan1_input":1e308,"temp1_max":null}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := health.ParseSensors(raw)
		if err != nil {
			return
		}
		for _, s := range list {
			if s.Kind != "temperature" && s.Kind != "fan" || (s.Level == health.OK) != (len(s.Reasons) == 0) {
				t.Fatalf("%+v", s)
			}
			if _, err := json.Marshal(s); err != nil {
				t.Fatal(err)
			}
		}
	})
}
