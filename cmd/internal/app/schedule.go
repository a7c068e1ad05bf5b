package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

func newExplainSchedule(s *Streams) *cobra.Command {
	var zone, dst, from, form string
	var number int
	cmd := &cobra.Command{
		Use:   "schedule EVENT",
		Short: "Explain a calendar event, with the next times it comes",
		Long: `Explain a calendar event of Proxmox, as backup jobs and snapshot policies have them: what it
means in words, where it may do something else than it seems to say, and the next times
it comes in a time zone.

An event is [weekdays] [[year-]month-day] [[hour:]minute[:second]], or one of minutely,
hourly, daily, weekly, monthly, quarterly, semiannually and yearly.` + exits("0  explained", "1  it is no calendar event"),
		Example: `  tend explain schedule "mon..fri 22:00"
  tend explain schedule "*:0/15" --count 4
  tend explain schedule 2:30 --zone Europe/Vienna --from 2027-03-27 --dst upstream`,
		RunE: func(cmd *cobra.Command, args []string) error {
			write, err := s.output(form, "text", "json")
			if err != nil {
				return err
			}
			text := strings.Join(args, " ")
			if text == "" {
				return fmt.Errorf("%s takes a calendar event, as in %s \"mon..fri 22:00\"", cmd.CommandPath(), cmd.CommandPath())
			}
			v := view.Schedule{Zone: zone, Count: number}
			if v.Event, err = calendar.Parse(text); err != nil {
				return err
			}
			if v.Times, err = zoneOf(zone, dst); err != nil {
				return err
			}
			if zone == "" {
				v.Zone = "this machine's time zone"
			}
			if v.From, err = instant("--from", from, v.Times.Location); err != nil {
				return err
			}
			return write(v)
		},
	}
	f := cmd.Flags()
	f.StringVar(&zone, "zone", "", "time `zone`, as Europe/Vienna or UTC (default: this machine's)")
	f.StringVar(&dst, "dst", calendar.Shift.String(), "what becomes of an hour that the clocks leave out: `shift` or upstream")
	f.StringVar(&from, "from", "", "`time` after which it comes: 2027-03-27, 2027-03-27T12:00, or with a zone (default: now)")
	f.IntVar(&number, "count", 10, "how many times are shown, `n`")
	outputFlag(cmd, &form, "text", "json")
	return cmd
}

func zoneOf(zone, dst string) (calendar.Options, error) {
	o := calendar.Options{Location: time.Local}
	if zone != "" {
		loc, err := spec.Location(zone)
		if err != nil {
			return o, fmt.Errorf("--zone %q %w", zone, err)
		}
		o.Location = loc
	}
	switch dst {
	case calendar.Shift.String():
	case calendar.Upstream.String():
		o.DST = calendar.Upstream
	default:
		return o, fmt.Errorf("--dst %q is none of shift, upstream", dst)
	}
	return o, nil
}

// instant reads a time in a zone; nothing is now.
func instant(flag, text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Now().In(zone), nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return t.In(zone), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is not a time: write 2027-03-27 or 2027-03-27T12:00", flag, text)
}

func newExplainPolicy(s *Streams) *cobra.Command {
	var from string
	var year bool
	cmd := &cobra.Command{
		Use:   "policy NAME [PATH]",
		Short: "Explain a snapshot policy, with the year that it makes",
		Long: `Explain a snapshot policy of the spec in a folder or file (default: this folder): when it
takes snapshots, which it keeps, and the next times. NAME is that of a policy, or of a
container, for the policy as that container has it.

With --year it shows which snapshots there would be over the coming year if every run
succeeded: the same rules decide that decide about real ones.` + exits("0  explained", "1  there is no such policy, or the spec is not good"),
		Example: `  tend explain policy nightly
  tend explain policy nightly specs --year
  tend explain policy media specs --year --from 2027-01-01`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return fmt.Errorf("%s takes the name of a policy (%s --help)", cmd.CommandPath(), cmd.CommandPath())
			case len(args) > 2:
				return fmt.Errorf("%s takes a name and a path: %q is too much (%s --help)", cmd.CommandPath(), args[2], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			state, err := loadSpec(s, pathOf(args[1:]))
			if err != nil {
				return err
			}
			v, err := policyOf(state, args[0])
			if err != nil {
				return err
			}
			if v.From, err = instant("--from", from, v.Policy.Times.Location); err != nil {
				return err
			}
			if year {
				course := retention.Simulate(v.Policy, v.From, v.From.AddDate(1, 0, 0))
				v.Course = &course
			}
			return v.Text(s.Out, s.style())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&year, "year", false, "show which snapshots there would be over a year")
	f.StringVar(&from, "from", "", "`time` at which it begins: 2027-01-01, 2027-01-01T12:00, or with a zone (default: now)")
	return cmd
}

// policyOf finds a policy by its name or by that of a container.
func policyOf(state *spec.State, name string) (view.SnapshotPolicy, error) {
	v := view.SnapshotPolicy{Policy: retention.Policy{SnapshotPolicy: state.Policy(name), Owner: state.Cluster.Owner}}
	var known []string
	for _, p := range state.Policies {
		known = append(known, p.Name)
	}
	for _, c := range state.Containers {
		own, ok := retention.For(state, c)
		if !ok {
			if c.Name == name && v.Policy.SnapshotPolicy == nil {
				return v, fmt.Errorf("container %s has no snapshot policy: write snapshots: with the name of one", name)
			}
			continue
		}
		known = append(known, c.Name)
		switch {
		case v.Policy.SnapshotPolicy == nil && c.Name == name:
			v.Policy, v.UsedBy = own, []string{c.Label()}
			return v, nil
		case own.Name == name:
			v.UsedBy = append(v.UsedBy, c.Label())
		}
	}
	if v.Policy.SnapshotPolicy != nil {
		return v, nil
	}
	if n := setting.Nearest(name, known); n != "" {
		return v, fmt.Errorf("there is no snapshot policy %q: did you mean %q?", name, n)
	}
	if len(known) == 0 {
		return v, errors.New("the spec has no snapshot policy: write one under snapshotPolicies")
	}
	return v, fmt.Errorf("there is no snapshot policy %q: there are %s", name, strings.Join(known, ", "))
}
