package proxmox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/property"
)

// A BackupJob is a scheduled backup of the cluster (/etc/pve/jobs.cfg).
type BackupJob struct {
	ID      string
	NextRun time.Time // told by [Client.BackupJobs] alone
	// Values are its settings in the form in which they are sent: "prune-backups" → "keep-last=3". The paths of
	// "exclude-path" stand on a line each.
	Values Values
}

// listOptions are the options that Proxmox takes as a list.
var listOptions = []string{"exclude-path"}

// UnmarshalJSON evens out how Proxmox answers: what it takes as property strings it gives as objects, numbers now
// as such and now as texts, and lists as lists (pve-manager API2/Backup.pm).
func (j *BackupJob) UnmarshalJSON(data []byte) error {
	var row map[string]any
	if err := decode(data, &row); err != nil {
		return err
	}
	*j = BackupJob{Values: Values{}}
	for _, key := range slices.Sorted(maps.Keys(row)) {
		text, err := jobText(key, row[key])
		if err != nil {
			return fmt.Errorf("decode answer: %s: %w", key, err)
		}
		switch key {
		case "id":
			j.ID = text
		case "type":
		case "next-run":
			var sec int64
			if _, err := fmt.Sscan(text, &sec); err != nil {
				return fmt.Errorf("decode answer: next-run: %q is no time", text)
			}
			j.NextRun = time.Unix(sec, 0).UTC()
		default:
			if row[key] != nil {
				j.Values[key] = text
			}
		}
	}
	if j.ID == "" {
		return fmt.Errorf("decode answer: a backup job has no id")
	}
	return nil
}

// jobText is an option in the form in which it is sent.
func jobText(key string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case []any:
		var parts []string
		for _, e := range v {
			s, ok := scalar(e)
			if !ok {
				return "", mismatch(e, "a text")
			}
			parts = append(parts, s)
		}
		if slices.Contains(listOptions, key) {
			return strings.Join(parts, "\n"), nil
		}
		return strings.Join(parts, ","), nil
	case map[string]any:
		var pairs property.Pairs
		for _, k := range slices.Sorted(maps.Keys(v)) {
			s, ok := scalar(v[k])
			if !ok {
				return "", mismatch(v[k], "a text or number")
			}
			pairs = append(pairs, property.Pair{Key: k, Value: s})
		}
		return pairs.Format(""), nil
	}
	s, _ := scalar(v)
	return s, nil
}

// BackupJobs lists the backup jobs. It needs Sys.Audit on /.
func (c *Client) BackupJobs(ctx context.Context) ([]BackupJob, error) {
	var rows []json.RawMessage
	r := Request{Method: "GET", Path: "/cluster/backup"}
	data, err := c.t.Do(ctx, r)
	if err == nil {
		err = unmarshal(r, data, &rows)
	}
	if err != nil {
		return nil, err
	}
	list := make([]BackupJob, len(rows))
	for i, row := range rows {
		if err := unmarshal(r, row, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// BackupJob reads one backup job. One that does not exist is refused with [ErrNotFound].
func (c *Client) BackupJob(ctx context.Context, id string) (j BackupJob, err error) {
	r := Request{Method: "GET", Path: jobPath(id)}
	data, err := c.t.Do(ctx, r)
	if err != nil {
		return j, err
	}
	return j, unmarshal(r, data, &j)
}

func unmarshal(r Request, data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// CreateBackupJob makes a backup job. An id that is taken is refused with [ErrExists]. It needs Sys.Modify on /
// and Datastore.Allocate on the storage.
func (c *Client) CreateBackupJob(ctx context.Context, id string, v Values) error {
	p := jobParams(v)
	p.text("id", id)
	return c.change(ctx, "POST", "/cluster/backup", p)
}

// UpdateBackupJob changes a backup job: what is not named stays. It takes no digest, so read the job right before.
// A selection takes the place of another one: with vmid, Proxmox drops all, exclude and pool by itself, and so on.
func (c *Client) UpdateBackupJob(ctx context.Context, id string, set Values, remove []string) error {
	p := jobParams(set)
	p.list("delete", remove)
	return c.change(ctx, "PUT", jobPath(id), p)
}

// DeleteBackupJob removes a backup job and none of its backups. One that does not exist is refused with
// [ErrNotFound].
func (c *Client) DeleteBackupJob(ctx context.Context, id string) error {
	return c.change(ctx, "DELETE", jobPath(id), params{})
}

func jobParams(v Values) params {
	p := params{}
	p.all(v)
	for _, key := range listOptions {
		if text, ok := v[key]; ok {
			url.Values(p)[key] = strings.Split(text, "\n")
		}
	}
	return p
}

func jobPath(id string) string { return "/cluster/backup/" + escape(id) }
