package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

var storageAudit = needAny("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")

var storageRoutes = []route{
	{method: "GET", path: "/storage", perm: everybody, props: props{"type": enum("btrfs", "cephfs", "cifs", "dir", "esxi",
		"iscsi", "iscsidirect", "lvm", "lvmthin", "nfs", "pbs", "rbd", "zfs", "zfspool")}, handler: listStorageConfig},
	{method: "GET", path: "/storage/{storage}", perm: need("/storage/{storage}", "Datastore.Allocate"), handler: getStorageConfig},
	{method: "GET", path: "/nodes/{node}/storage", onNode: true, protected: true, perm: everybody, props: props{
		"storage": format("pve-storage-id"), "content": format("pve-storage-content-list"), "enabled": boolean(),
		"target": format("pve-node"), "format": boolean(),
	}, handler: listStorages},
	{method: "GET", path: "/nodes/{node}/storage/{storage}", perm: storageAudit, handler: index("subdir", "content",
		"download-url", "file-restore", "import-metadata", "identity", "oci-registry-pull", "prunebackups", "rrd", "rrddata",
		"status", "upload")},
	{method: "GET", path: "/nodes/{node}/storage/{storage}/status", onNode: true, protected: true, perm: storageAudit, handler: storageStatus},
}

var errNoStorageAccess = []string{"Datastore.Audit", "Datastore.AllocateSpace"}

func (c *call) seesStorage(id string) bool {
	return c.sim.access.checkAny(c.user, "/storage/"+id, errNoStorageAccess...) == nil
}

// configRow is an entry of the storage configuration as the API tells it.
func (c *call) configRow(id string) map[string]any {
	cfg := c.sim.st.Storages[id]
	row := map[string]any{"storage": id, "type": cfg.Type, "content": cfg.contentText(), "digest": c.sim.storageDigest()}
	for k, v := range map[string]string{
		"path": cfg.Path, "pool": cfg.Pool, "vgname": cfg.VGName, "thinpool": cfg.Thin,
		"prune-backups": cfg.Prune, "nodes": strings.Join(cfg.Nodes, ","),
	} {
		if v != "" {
			row[k] = v
		}
	}
	for k, on := range map[string]bool{"shared": cfg.Shared, "disable": cfg.Disable, "quotas": cfg.Quotas} {
		if on {
			row[k] = 1
		}
	}
	return row
}

// storageDigest is a digest of the storage configuration.
func (s *Sim) storageDigest() string {
	h := sha1.New()
	for _, id := range sortedKeys(s.st.Storages) {
		cfg := *s.st.Storages[id]
		cfg.Used = 0
		fmt.Fprintf(h, "%s %+v\n", id, cfg)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func listStorageConfig(c *call) (any, error) {
	rows := []map[string]any{}
	for _, id := range sortedKeys(c.sim.st.Storages) {
		if c.seesStorage(id) && (!c.given("type") || c.str("type") == c.sim.st.Storages[id].Type) {
			rows = append(rows, c.configRow(id))
		}
	}
	return rows, nil
}

func getStorageConfig(c *call) (any, error) {
	if _, err := c.sim.storage(c.str("storage")); err != nil {
		return nil, err
	}
	return c.configRow(c.str("storage")), nil
}

// statusRow is what a node tells of a storage (Storage.pm, storage_info).
func (c *call) statusRow(id string) map[string]any {
	cfg := c.sim.st.Storages[id]
	enabled := !cfg.Disable && cfg.onNode(c.node)
	row := map[string]any{
		"type": cfg.Type, "content": cfg.contentText(), "shared": flag(cfg.isShared()),
		"enabled": flag(enabled), "active": flag(enabled), "total": int64(0), "used": int64(0), "avail": int64(0),
	}
	if enabled {
		total, used := cfg.total(), c.sim.usedBytes(id)
		row["total"], row["used"], row["avail"] = total, used, total-used
	}
	return row
}

func listStorages(c *call) (any, error) {
	only, rows := c.str("storage"), []map[string]any{}
	found := only == ""
	target := c.str("target")
	for _, id := range sortedKeys(c.sim.st.Storages) {
		cfg := c.sim.st.Storages[id]
		enabled := !cfg.Disable && cfg.onNode(c.node)
		if c.given("content") && (!enabled || !slices.ContainsFunc(splitList(c.str("content")), cfg.holds)) {
			continue
		}
		found = found || id == only
		if !c.seesStorage(id) || only != "" && id != only || c.on("enabled") && cfg.Disable {
			continue
		}
		if target != "" && target != c.node && !(cfg.isShared() && cfg.onNode(c.node) && cfg.onNode(target)) {
			continue
		}
		row := c.statusRow(id)
		row["storage"] = id
		if t := cfg.total(); enabled && t > 0 {
			row["used_fraction"] = float64(row["used"].(int64)) / float64(t)
		}
		if c.on("format") {
			row["formats"] = map[string]any{"supported": []string{"raw", "subvol"}, "default": "raw"}
		}
		rows = append(rows, row)
	}
	if !found {
		return nil, paramError("storage", "No such storage.")
	}
	return rows, nil
}

func storageStatus(c *call) (any, error) {
	id := c.str("storage")
	if _, err := c.sim.storage(id); err != nil {
		return nil, err
	}
	return c.statusRow(id), nil
}

// storageResources are the storages of all nodes in GET cluster/resources.
func (c *call) storageResources() []map[string]any {
	var rows []map[string]any
	for _, id := range sortedKeys(c.sim.st.Storages) {
		cfg := c.sim.st.Storages[id]
		if cfg.Disable || !c.sim.access.has(c.user, "/storage/"+id, "Datastore.Audit") {
			continue
		}
		for _, n := range sortedKeys(c.sim.st.Nodes) {
			if !cfg.onNode(n) {
				continue
			}
			row := map[string]any{
				"id": "storage/" + n + "/" + id, "storage": id, "node": n, "type": "storage",
				"plugintype": cfg.Type, "status": "available", "shared": flag(cfg.isShared()), "content": cfg.contentText(),
				"maxdisk": cfg.total(), "disk": c.sim.usedBytes(id),
			}
			rows = append(rows, row)
		}
	}
	return rows
}
