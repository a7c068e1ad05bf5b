package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoReading is the error of an output of smartctl that tells of no disk.
var ErrNoReading = errors.New("it tells of no disk")

// smartctl is as much of the JSON of smartctl as is used here. What a disk does not have is absent; numbers that pass
// 2^53 are written as texts besides (smartmontools json.cpp), which are of no use here.
type smartctl struct {
	Smartctl struct {
		ExitStatus int `json:"exit_status"`
		Messages   []struct {
			String   string `json:"string"`
			Severity string `json:"severity"`
		} `json:"messages"`
	} `json:"smartctl"`
	Device struct {
		Name     string `json:"name"`
		Protocol string `json:"protocol"` // "ATA", "NVMe", "SCSI"
	} `json:"device"`
	ModelName    string `json:"model_name"`
	SerialNumber string `json:"serial_number"`
	Capacity     struct {
		Bytes amount `json:"bytes"`
	} `json:"user_capacity"`
	RotationRate *amount `json:"rotation_rate"` // 0: it does not turn
	LocalTime    struct {
		Unix amount `json:"time_t"`
	} `json:"local_time"`
	SmartStatus struct {
		Passed *bool `json:"passed"`
	} `json:"smart_status"`
	Temperature struct {
		Current    *amount `json:"current"`
		DriveTrip  *amount `json:"drive_trip"`   // SCSI
		OpLimitMax *amount `json:"op_limit_max"` // ATA, SCT
	} `json:"temperature"`
	PowerOn struct {
		Hours *amount `json:"hours"`
	} `json:"power_on_time"`
	Endurance struct { // of newer versions, for all kinds
		Used *amount `json:"current_percent"`
	} `json:"endurance_used"`
	ATA struct {
		Table []struct {
			ID    int    `json:"id"`
			Name  string `json:"name"`
			Value amount `json:"value"`
			Raw   struct {
				Value amount `json:"value"`
			} `json:"raw"`
		} `json:"table"`
	} `json:"ata_smart_attributes"`
	NVMe struct {
		Temperature    *amount `json:"temperature"`
		AvailableSpare *amount `json:"available_spare"`
		SpareLimit     *amount `json:"available_spare_threshold"`
		PercentageUsed *amount `json:"percentage_used"`
		MediaErrors    *amount `json:"media_errors"`
	} `json:"nvme_smart_health_information_log"`
	NVMeLimits struct {
		Warning *amount `json:"warning"`
	} `json:"nvme_composite_temperature_threshold"`
	GrownDefects  *amount `json:"scsi_grown_defect_list"`
	SCSIEndurance *amount `json:"scsi_percentage_used_endurance_indicator"`
	SCSIErrors    map[string]struct {
		Lost amount `json:"total_uncorrected_errors"`
	} `json:"scsi_error_counter_log"`
}

// An amount is a number of smartctl; one that does not fit is taken for the largest.
type amount int64

// UnmarshalJSON reads a number, or a text that some versions write in its place and that says that there is none.
func (a *amount) UnmarshalJSON(raw []byte) error {
	var f float64
	switch err := json.Unmarshal(raw, &f); {
	case err != nil:
		*a = 0
	case f >= 1<<62:
		*a = 1 << 62
	case f <= -1<<62:
		*a = -1 << 62
	default:
		*a = amount(f)
	}
	return nil
}

func (a *amount) number() *int64 {
	if a == nil || *a < 0 {
		return nil
	}
	return number(int64(*a))
}

// ParseSmartctl reads what "smartctl --json --all" prints of a disk. at is the time of the reading where the output
// does not tell one.
func ParseSmartctl(raw []byte, at time.Time) (Disk, error) {
	var s smartctl
	if err := json.Unmarshal(raw, &s); err != nil {
		return Disk{}, fmt.Errorf("read the output of smartctl: %w", err)
	}
	if s.Device.Name == "" || s.ModelName == "" && s.SmartStatus.Passed == nil {
		return Disk{}, fmt.Errorf("read the output of smartctl: %w%s", ErrNoReading, quoted(s.message()))
	}
	d := Disk{
		Device: s.Device.Name, Model: s.ModelName, Serial: s.SerialNumber, Size: max(0, int64(s.Capacity.Bytes)), Kind: s.kind(),
		Check: Unknown, Read: at, From: "smartctl", Hours: s.PowerOn.Hours.number(),
	}
	if t := int64(s.LocalTime.Unix); t > 0 {
		d.Read = time.Unix(t, 0).UTC()
	}
	if p := s.SmartStatus.Passed; p != nil {
		d.Check = Passed
		if !*p {
			d.Check, d.Said = Failed, "FAILED!"
		}
	}
	s.fill(&d)
	s.temperature(&d)
	return d, nil
}

// message is the worst that smartctl had to say.
func (s smartctl) message() string {
	var texts []string
	for _, m := range s.Smartctl.Messages {
		if m.Severity == "error" || len(s.Smartctl.Messages) == 1 {
			texts = append(texts, m.String)
		}
	}
	return strings.Join(texts, "; ")
}

func (s smartctl) kind() string {
	switch {
	case s.Device.Protocol == "NVMe":
		return "nvme"
	case s.RotationRate == nil:
		return "unknown"
	case *s.RotationRate == 0:
		return "ssd"
	}
	return "hdd"
}

// fill takes what depends on the protocol.
func (s smartctl) fill(d *Disk) {
	for _, a := range s.ATA.Table {
		d.attribute(a.ID, int64(a.Raw.Value))
		if left := int64(a.Value); d.Wear == nil && isWear(a.Name) && left >= 0 && left <= 100 {
			d.Wear = number(100 - left)
		}
	}
	if s.Device.Protocol == "NVMe" {
		d.Wear, d.Spare, d.SpareLimit = s.NVMe.PercentageUsed.number(), s.NVMe.AvailableSpare.number(), s.NVMe.SpareLimit.number()
		d.Errors = s.NVMe.MediaErrors.number()
	}
	if n := s.GrownDefects.number(); n != nil {
		d.Reallocated = n
	}
	if len(s.SCSIErrors) > 0 {
		lost := int64(0)
		for _, c := range s.SCSIErrors {
			lost += max(0, int64(c.Lost))
		}
		d.Errors = number(max(0, lost))
	}
	for _, used := range []*amount{s.SCSIEndurance, s.Endurance.Used} {
		if n := used.number(); n != nil {
			d.Wear = n
		}
	}
}

func (s smartctl) temperature(d *Disk) {
	for _, c := range []*amount{s.Temperature.Current, s.NVMe.Temperature} {
		if n := c.number(); n != nil && plausible(*n) {
			d.Celsius = n
			break
		}
	}
	for _, c := range []*amount{s.Temperature.DriveTrip, s.Temperature.OpLimitMax, s.NVMeLimits.Warning} {
		if n := c.number(); n != nil && plausible(*n) {
			d.MaxCelsius = n
			break
		}
	}
}

// wearNames are those of attributes whose normalised value counts down from 100 with the endurance, in the names of
// smartmontools' drivedb.h (pve-storage Diskmanage.pm, get_wear_leveling_info).
var wearNames = []string{
	"Media_Wearout_Indicator", "SSD_Life_Left", "Wear_Leveling_Count", "Perc_Write/Erase_Ct_BC", "Perc_Rated_Life_Remain",
	"Remaining_Lifetime_Perc", "Percent_Lifetime_Remain", "Lifetime_Left", "PCT_Life_Remaining", "Lifetime_Remaining",
	"Percent_Life_Remaining", "Percent_Lifetime_Used", "Perc_Rated_Life_Used",
}

func isWear(name string) bool {
	for _, w := range wearNames {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// Merge adds to what a list tells of a disk what smartctl says of the same. The device keeps its name and kind as
// listed: smartctl may ask an NVMe disk through its controller.
func (d Disk) Merge(s Disk) Disk {
	s.Device, s.Size = d.Device, max(d.Size, s.Size)
	if d.Kind != "" && d.Kind != "unknown" {
		s.Kind = d.Kind
	}
	if s.Model == "" {
		s.Model = d.Model
	}
	if s.Serial == "" {
		s.Serial = d.Serial
	}
	if s.Wear == nil {
		s.Wear = d.Wear
	}
	if s.Check == Unknown && d.Check != Unknown {
		s.Check, s.Said = d.Check, d.Said
	}
	return s
}
