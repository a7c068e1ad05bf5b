package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/felhom/tend/proxmox"
)

// transport carries requests in the same process, as one user.
type transport struct {
	sim  *Sim
	user string
}

// Do carries out one request (see [proxmox.Transport]).
func (t *transport) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	path, err := url.PathUnescape(r.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	a := t.sim.serve(ctx, t.user, r.Method, path, paramsOf(r.Params))
	if a.cut {
		return nil, cutError(ctx, r)
	}
	if a.status != 200 {
		return nil, proxmox.NewAPIError(r, a.status, a.reason, a.body)
	}
	var body struct{ Data json.RawMessage }
	if err := json.Unmarshal(a.body, &body); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return body.Data, nil
}

// cutError is the error of a request whose connection was cut, as a transport over the network gives it.
func cutError(ctx context.Context, r proxmox.Request) error {
	if err := ctx.Err(); err != nil && r.IsRead() {
		return fmt.Errorf("%s: %w", r, err)
	}
	if r.IsRead() {
		return fmt.Errorf("%s: %w: %w", r, proxmox.ErrUnreachable, errCut)
	}
	return fmt.Errorf("%s: %w: %w: %w", r, proxmox.ErrUnreachable, proxmox.ErrOutcomeUnknown, errCut)
}

// paramsOf takes parameters as they are, without the detour over a form.
func paramsOf(vals url.Values) params {
	p := make(params, len(vals))
	for k, v := range vals {
		switch len(v) {
		case 0:
		case 1:
			p[k] = value{text: v[0]}
		default:
			l := value{kind: listValue}
			for _, e := range v {
				l.list = append(l.list, value{text: e})
			}
			p[k] = l
		}
	}
	return p
}
