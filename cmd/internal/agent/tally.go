package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
)

// A Tally carries requests through another transport, and counts their answers.
type Tally struct {
	Transport proxmox.Transport

	mu sync.Mutex
	n  map[report.Requests]uint64 // by all but the count
}

// Do carries one request.
func (t *Tally) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	data, err := t.Transport.Do(ctx, r)
	code := http.StatusOK
	if err != nil {
		code = 0
		if e, ok := errors.AsType[*proxmox.APIError](err); ok {
			code = e.Status
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[report.Requests]uint64{}
	}
	t.n[report.Requests{Method: r.Method, Code: code}]++
	return data, err
}

// Requests are how many requests got which answer, in order.
func (t *Tally) Requests() []report.Requests {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []report.Requests
	for r, n := range t.n {
		r.Count = n
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b report.Requests) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Code, b.Code))
	})
	return out
}
