package proxmox_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

var update = flag.Bool("update", false, "write the golden files anew")

var classes = []struct {
	name string
	err  error
}{
	{"no-guest", proxmox.ErrNoGuest},
	{"not-found", proxmox.ErrNotFound},
	{"unauthorized", proxmox.ErrUnauthorized},
	{"forbidden", proxmox.ErrForbidden},
	{"locked", proxmox.ErrLocked},
	{"modified", proxmox.ErrModified},
	{"exists", proxmox.ErrExists},
	{"protected", proxmox.ErrProtected},
	{"busy", proxmox.ErrBusy},
	{"no-quorum", proxmox.ErrNoQuorum},
	{"already", proxmox.ErrAlready},
	{"invalid", proxmox.ErrInvalid},
	{"outcome-unknown", proxmox.ErrOutcomeUnknown},
	{"unreachable", proxmox.ErrUnreachable},
}

func className(err error) string {
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "-"
}

// verdict is the class of an error with the lock or the privileges that it names.
func verdict(e *proxmox.APIError) string {
	return strings.TrimSpace(className(e) + " " + e.Lock + e.Missing.String())
}

// The golden file is the table: a line for each recorded answer other than 200.
func TestRecordedErrors(t *testing.T) {
	var b strings.Builder
	for _, sc := range loadScenarios(t) {
		for i, st := range sc.Steps {
			if st.Response.Status == 200 {
				continue
			}
			e := proxmox.NewAPIError(st.request(), st.Response.Status, st.Response.Reason, st.Response.Body)
			fmt.Fprintf(&b, "%s#%d %s\n\t%s\n", sc.Name, i+1, e, verdict(e))
		}
	}
	golden(t, "testdata/errors.golden", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); after a look, run with -update:\n%s", file, d)
	}
}
