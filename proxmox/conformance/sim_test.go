package conformance_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conformance"
	"github.com/felhom/tend/proxmox/rest"
	"github.com/felhom/tend/proxmox/sim"
)

var update = flag.Bool("update", false, "raise the floor to what matches now")

const (
	labFile       = "../../testdata/pve/lab.yaml"
	exceptionFile = "../../testdata/pve/conformance-exceptions.yaml"
	floorFile     = "../../testdata/pve/conformance-floor.json"
)

// whole are the scenarios that must match in every step, but for exceptions.
var whole = []string{
	"transport-errors", "discovery", "create-minimal", "create-errors", "config-stopped", "config-errors",
	"running", "protection", "tasks", "power", "destroy", "limited-privileges",
}

// simulate serves the simulated lab over HTTPS until the test ends.
func simulate(t *testing.T) (*sim.Sim, *sim.Server) {
	t.Helper()
	raw, err := os.ReadFile(labFile)
	if err != nil {
		t.Fatal(err)
	}
	state, err := sim.ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.New(state, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := s.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Close(context.Background())
		s.Close()
	})
	return s, server
}

// The simulator answers the recorded requests as the node did. How many answers match is printed by scenario,
// and may only rise: the floor is raised with -update.
func TestReplaySimulator(t *testing.T) {
	results := replayAll(t)
	for _, fault := range conformance.Except(results, readExceptions(t)) {
		t.Error(fault)
	}
	floor := readFloor(t)
	for _, r := range results {
		t.Log(r)
		excepted := 0
		for _, st := range r.Steps {
			switch {
			case len(st.Differences) == 0:
			case st.Exception != "":
				excepted++
				t.Logf("  %s: excepted: %s", st.Label, st.Exception)
			default:
				t.Logf("  %s: %q", st.Label, st.Differences[:min(4, len(st.Differences))])
			}
		}
		matched := r.Matched()
		if slices.Contains(whole, r.Scenario) && matched+excepted < len(r.Steps) {
			t.Errorf("%s must match in whole", r)
		}
		switch {
		case matched < floor[r.Scenario]:
			t.Errorf("%s matched %d steps before", r, floor[r.Scenario])
		case matched > floor[r.Scenario] && *update:
			floor[r.Scenario] = matched
		case matched > floor[r.Scenario]:
			t.Errorf("%s is more than the %d before: raise the floor with -update", r, floor[r.Scenario])
		}
	}
	t.Log(conformance.Total(results))
	if *update {
		writeFloor(t, floor)
	}
}

// replayAll replays each scenario on a lab of its own.
func replayAll(t *testing.T) []conformance.Result {
	t.Helper()
	list := scenarios(t)
	results := make([]conformance.Result, len(list))
	t.Run("scenarios", func(t *testing.T) {
		for i, s := range list {
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				_, server := simulate(t)
				e := conformance.NewHTTPS(server.URL(), credentials(t))
				defer e.Close()
				r, err := conformance.Replay(t.Context(), e, s, conformance.Options{})
				if err != nil {
					t.Error(err)
				}
				results[i] = r
			})
		}
	})
	return results
}

func readExceptions(t *testing.T) []conformance.Exception {
	t.Helper()
	b, err := os.ReadFile(exceptionFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Exceptions []conformance.Exception `json:"exceptions"`
	}
	if err := yaml.UnmarshalStrict(b, &file); err != nil {
		t.Fatalf("%s: %v", exceptionFile, err)
	}
	return file.Exceptions
}

// readFloor is how many steps of each scenario matched before.
func readFloor(t *testing.T) map[string]int {
	t.Helper()
	b, err := os.ReadFile(floorFile)
	if err != nil {
		t.Fatal(err)
	}
	floor := map[string]int{}
	if err := json.Unmarshal(b, &floor); err != nil {
		t.Fatalf("%s: %v", floorFile, err)
	}
	return floor
}

func writeFloor(t *testing.T, floor map[string]int) {
	t.Helper()
	b, err := json.MarshalIndent(floor, "", "  ")
	if err == nil {
		err = os.WriteFile(floorFile, append(b, '\n'), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// rest and the simulator keep the same contract, so that what is tested on one runs on the other.
func TestContract(t *testing.T) {
	s, server := simulate(t)
	overHTTPS, err := rest.New(rest.Options{
		Endpoint: server.URL(), Fingerprint: server.Fingerprint,
		Token: proxmox.NewSecret(credentials(t)["root-token"].Token),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer overHTTPS.Close()
	t.Run("sim", func(t *testing.T) { conformance.Contract(t, s.As("root@pam!lab")) })
	t.Run("rest", func(t *testing.T) { conformance.Contract(t, overHTTPS) })
}
