package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A TaskTest proves that tasks are started, awaited and judged rightly, by a snapshot, a rollback and a delete on
// a container. It leaves nothing behind.
type TaskTest struct {
	Client *proxmox.Client
	// Guest is the container to use; zero makes a scratch one, which is destroyed at the end.
	Guest proxmox.VMID
	// Step is told of each step when it begins.
	Step func(what string)
}

// snapshotName is that of the snapshot; nothing of anybody's is called so.
const snapshotName = "tend-selftest"

// scratchSize is that of the scratch container's root file system, in GiB; the smallest that Proxmox makes.
const scratchSize = 1

// Run carries the test out and returns what it found.
func (t TaskTest) Run(ctx context.Context) (found []Finding) {
	add := func(l Level, format string, args ...any) {
		found = append(found, Finding{Level: l, Area: "tasks", Text: fmt.Sprintf(format, args...)})
	}
	ref, err := t.guest(ctx)
	if err != nil {
		add(Failed, "%v", err)
		return found
	}
	if t.Guest == 0 {
		// what was made is cleared away even where the person has interrupted the rest
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			if err := t.task(ctx, "destroy the scratch container", func() (proxmox.UPID, error) {
				return t.Client.Destroy(ctx, ref, proxmox.DestroyParams{})
			}); err != nil {
				found = append(found, Finding{
					Level: Failed, Area: "tasks", Text: fmt.Sprintf("the scratch container %s is left behind: %v", ref, err),
					Hint: fmt.Sprintf("on the node: pct unlock %d; pct destroy %d", ref.ID, ref.ID),
				})
			}
		}()
	}
	steps, err := t.cycle(ctx, ref)
	if err != nil {
		add(Failed, "%v", err)
		return found
	}
	add(OK, "%s on container %d: each task ended well and was seen to", strings.Join(steps, ", "), ref.ID)
	return found
}

// cycle takes a snapshot, goes back to it and deletes it.
func (t TaskTest) cycle(ctx context.Context, ref proxmox.Ref) (done []string, err error) {
	status, err := t.Client.Status(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("read container %d: %w", ref.ID, err)
	}
	ok, err := t.Client.HasFeature(ctx, ref, proxmox.FeatureSnapshot)
	if err != nil {
		return nil, fmt.Errorf("read container %d: %w", ref.ID, err)
	}
	if !ok {
		return nil, fmt.Errorf("container %d cannot be snapshotted: a volume lies on a storage without snapshots, or is mounted from the node", ref.ID)
	}
	err = t.task(ctx, "take a snapshot", func() (proxmox.UPID, error) {
		return t.Client.Snapshot(ctx, ref, snapshotName, "made by tend doctor --task, may be deleted")
	})
	if err != nil {
		return nil, err
	}
	done = append(done, "snapshot")
	if status.Status == proxmox.Stopped {
		err = t.task(ctx, "roll back", func() (proxmox.UPID, error) { return t.Client.Rollback(ctx, ref, snapshotName) })
		done = append(done, "rollback")
	} else {
		done = append(done, "no rollback (it would stop the running container)")
	}
	deleted := t.task(context.WithoutCancel(ctx), "delete the snapshot", func() (proxmox.UPID, error) {
		return t.Client.DeleteSnapshot(context.WithoutCancel(ctx), ref, snapshotName, false)
	})
	return append(done, "delete"), errors.Join(err, deleted)
}

// task starts something and waits for its end.
func (t TaskTest) task(ctx context.Context, what string, start func() (proxmox.UPID, error)) error {
	if t.Step != nil {
		t.Step(what)
	}
	upid, err := start()
	if err == nil {
		_, err = t.Client.WaitTask(ctx, upid, proxmox.WaitOptions{})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// guest is the container that was named, or a new one.
func (t TaskTest) guest(ctx context.Context) (proxmox.Ref, error) {
	nodes, err := t.Client.Nodes(ctx)
	if err != nil {
		return proxmox.Ref{}, fmt.Errorf("list nodes: %w", err)
	}
	nodes = slices.DeleteFunc(nodes, func(n proxmox.Node) bool { return !n.Online() })
	slices.SortFunc(nodes, func(a, b proxmox.Node) int { return strings.Compare(a.Name, b.Name) })
	if t.Guest != 0 {
		return t.named(ctx, nodes)
	}
	id, err := t.Client.NextID(ctx)
	if err != nil {
		return proxmox.Ref{}, fmt.Errorf("find a free VMID: %w", err)
	}
	for _, n := range nodes {
		storage, template, err := t.material(ctx, n.Name)
		if err != nil {
			return proxmox.Ref{}, err
		}
		if storage == "" || template == "" {
			continue
		}
		ref := proxmox.Ref{Node: n.Name, ID: id}
		return ref, t.task(ctx, "create a scratch container", func() (proxmox.UPID, error) {
			return t.Client.Create(ctx, n.Name, proxmox.CreateParams{ID: id, Template: template, Values: proxmox.Values{
				"hostname": "tend-selftest", "description": "made by tend doctor --task, may be destroyed", "unprivileged": "1",
				"rootfs": fmt.Sprintf("%s:%d", storage, scratchSize), "memory": "64", "swap": "0", "ostype": "unmanaged",
			}})
		})
	}
	return proxmox.Ref{}, errors.New("make a scratch container: no node has both a template and a storage with snapshots; " +
		"download a template (pveam), or name a container with --container")
}

func (t TaskTest) named(ctx context.Context, nodes []proxmox.Node) (proxmox.Ref, error) {
	for _, n := range nodes {
		list, err := t.Client.Containers(ctx, n.Name)
		if err != nil {
			return proxmox.Ref{}, fmt.Errorf("list containers of node %s: %w", n.Name, err)
		}
		for _, c := range list {
			if c.ID == t.Guest {
				return proxmox.Ref{Node: n.Name, ID: c.ID}, nil
			}
		}
	}
	return proxmox.Ref{}, fmt.Errorf("container %d does not exist, or the token may not see it", t.Guest)
}

// material finds a storage that can snapshot, and the smallest template, on a node.
func (t TaskTest) material(ctx context.Context, node string) (storage, template string, err error) {
	list, err := t.Client.Storages(ctx, node)
	if err != nil {
		return "", "", fmt.Errorf("list storages of node %s: %w", node, err)
	}
	slices.SortFunc(list, func(a, b proxmox.Storage) int { return strings.Compare(a.Name, b.Name) })
	var best int64
	for _, s := range list {
		if !s.Active || !s.Enabled {
			continue
		}
		snapshots := slices.Contains([]string{"zfspool", "lvmthin", "btrfs", "rbd"}, s.Type)
		if slices.Contains(s.Content, proxmox.ContentRootDir) && snapshots && storage == "" {
			storage = s.Name
		}
		if !slices.Contains(s.Content, proxmox.ContentTemplates) {
			continue
		}
		volumes, err := t.Client.StorageContent(ctx, node, s.Name, proxmox.ContentFilter{Content: proxmox.ContentTemplates})
		if err != nil {
			return "", "", fmt.Errorf("list templates on storage %s: %w", s.Name, err)
		}
		for _, v := range volumes {
			if template == "" || v.Size < best {
				template, best = v.ID, v.Size
			}
		}
	}
	return storage, template, nil
}
