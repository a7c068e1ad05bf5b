package view_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

// TestKept shows that a plan and what became of it look as they did once they were written down and read again.
func TestKept(t *testing.T) {
	p := examplePlan(t, plan.Policy{Prune: true})
	looksAlike[view.Sheet](t, p, p.Sheet())
	r := exampleResult(t)
	looksAlike[view.Account](t, r, r.Account())
}

type texter interface {
	Text(w io.Writer, s view.Style) error
}

func looksAlike[T texter](t *testing.T, first texter, kept T) {
	t.Helper()
	data, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	var again T
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	for _, s := range []view.Style{{Width: 100}, {Width: 60, Colour: true}} {
		var was, is bytes.Buffer
		if err := first.Text(&was, s); err != nil {
			t.Fatal(err)
		}
		if err := again.Text(&is, s); err != nil {
			t.Fatal(err)
		}
		if was.Len() == 0 || was.String() != is.String() {
			t.Errorf("it looks different:\n%s", cmp.Diff(was.String(), is.String()))
		}
	}
}
