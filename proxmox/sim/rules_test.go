package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
)

// sample gives each key a value to change to, and one it has before.
var sample = map[string][2]string{
	"arch": {"amd64", "i386"}, "cmode": {"tty", "shell"}, "console": {"1", "0"}, "cores": {"1", "2"}, "cpulimit": {"1", "1.5"},
	"cpuunits": {"100", "200"}, "debug": {"0", "1"}, "description": {"a", "b"}, "entrypoint": {"/sbin/init", "/bin/sh"},
	"env": {"A=1", "A=2"}, "features": {"nesting=1", "nesting=0"}, "hostname": {"ct101", "other"}, "memory": {"512", "600"},
	"nameserver": {"192.0.2.1", "192.0.2.2"}, "onboot": {"0", "1"}, "ostype": {"debian", "alpine"}, "protection": {"0", "1"},
	"searchdomain": {"a.example", "b.example"}, "startup": {"1", "2"}, "swap": {"512", "64"}, "tags": {"a", "b"},
	"timezone": {"UTC", "Europe/Vienna"}, "tty": {"2", "1"}, "template": {"0", "1"}, "lock": {"", "backup"},
	"hookscript": {"local:snippets/a.sh", "local:snippets/b.sh"},
}

// What a change does to a running container is what lxc-keys.yaml says of the key.
func TestRunningFollowsTheKeyTable(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/pve/lxc-keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Keys []struct {
			Name    string
			Running string
		}
	}
	if err := yaml.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, k := range table.Keys {
		vals, ok := sample[k.Name]
		if !ok {
			continue
		}
		checked++
		t.Run(k.Name, func(t *testing.T) {
			st := lab(t)
			st.Snippets = []string{"local:snippets/a.sh", "local:snippets/b.sh"}
			s := start(t, st, Options{})
			create(t, s, "101", nil)
			if vals[0] != "" {
				must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{k.Name: vals[0]})
			}
			must(t, s, "POST", "/nodes/pve1/lxc/101/status/start", nil)
			must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{k.Name: vals[1]})
			g := s.guests[101]
			_, pending := g.conf.pending.values[k.Name]
			kind, _, _ := strings.Cut(k.Running, " ")
			if want := kind == "pending"; pending != want {
				t.Errorf("pending: %v, but the table says %q", pending, k.Running)
			}
		})
	}
	if checked != len(sample) {
		t.Errorf("%d of %d keys are in the table", checked, len(sample))
	}
}

func TestSchemaTexts(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", nil)
	for _, tt := range []struct{ key, val, want string }{
		{"cores", "8193", "value must have a maximum value of 8192"},
		{"cores", "1.5", "type check ('integer') failed - got '1.5'"},
		{"cores", "", "type check ('integer') failed - got ''"},
		{"cpulimit", "-1", "value must have a minimum value of 0"},
		{"tty", "7", "value must have a maximum value of 6"},
		{"cpuunits", "500001", "value must have a maximum value of 500000"},
		{"arch", "vax", "value 'vax' does not have a value in the enumeration 'amd64, i386, arm64, armhf, riscv32, riscv64'"},
		{"cmode", "x", "value 'x' does not have a value in the enumeration 'shell, console, tty'"},
		{"hostname", strings.Repeat("a", 256), "value may only be 255 characters long"},
		{"description", strings.Repeat("ä", 8193), "value may only be 8192 characters long"},
		{"nameserver", "1.1.1", "invalid format - value does not look like a valid IP address"},
		{"searchdomain", "a..b", "invalid format - value does not look like a valid DNS name"},
		{"tags", "ok;-bad", "invalid format - invalid characters in tag"},
		{"entrypoint", "a\x01", "value does not match the regex pattern"},
		{"env", "novalue", "value does not match the regex pattern"},
		{"features", "nesting=2", "nesting: type check ('boolean') failed - got '2'"},
		{"features", "nesting", "value without key, but schema does not define a default key"},
		{"net0", "name=eth0,name=eth1", "duplicate key in comma-separated list property: name"},
		{"net0", "name=eth0,tag=4095", "net0.tag: value must have a maximum value of 4094"},
		{"net0", "name=eth0,ip=192.0.2.1/7", "net0.ip: invalid format - value does not look like a valid ipv4 network configuration"},
		{"net0", "name=eth0,gw=192.0.2.0.1", "net0.gw: invalid format - value does not look like a valid IPv4 address"},
		{"net0", "name=", "missing key in comma-separated list property"},
		{"mp0", "local:1,mp=/a,size=big", "mp0.size: invalid format - value does not look like a valid disk size: big"},
		{"mp0", "local:1,mp=/a,mountoptions=fast", "mp0.mountoptions: value does not match the regex pattern"},
		{"dev0", "/etc/passwd", "dev0.path: invalid format - /etc/passwd is not a valid device path"},
		{"dev0", "/dev/null,mode=0888", "dev0.mode: value does not match the regex pattern"},
		{"rootfs", "local:1,mp=/", "rootfs.mp: property is not defined in schema and the schema does not allow additional properties"},
		{"delete", "a;b", "invalid configuration ID 'a'"},
		{"digest", strings.Repeat("0", 41), "value may only be 40 characters long"},
		{"parent", "x1", "property is not defined in schema and the schema does not allow additional properties"},
		{"mp256", "local:1,mp=/a", "property is not defined in schema and the schema does not allow additional properties"},
	} {
		t.Run(tt.key+"="+tt.val[:min(12, len(tt.val))], func(t *testing.T) {
			got := refused(t, s, rootUser, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{tt.key: tt.val})
			if !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// The limits of all schemas can be read, and all formats exist.
func TestSchemasAreSound(t *testing.T) {
	var check func(where string, p props)
	check = func(where string, p props) {
		for k, s := range p {
			for _, limit := range []string{s.min, s.max} {
				if limit != "" && !numberText.MatchString(limit) {
					t.Errorf("%s.%s: limit %q", where, k, limit)
				}
			}
			base := strings.TrimSuffix(strings.TrimSuffix(s.format, "-list"), "-opt")
			if s.format != "" && formats[base] == nil {
				t.Errorf("%s.%s: format %q", where, k, s.format)
			}
			if s.requires != "" && p[s.requires] == nil {
				t.Errorf("%s.%s: requires %q, which there is not", where, k, s.requires)
			}
			if s.props != nil {
				check(where+"."+k, s.props)
			}
		}
	}
	var walk func(where string, n *node)
	walk = func(where string, n *node) {
		for m, r := range n.methods {
			check(m+" "+where, r.props)
			if r.handler == nil {
				t.Errorf("%s %s does nothing", m, where)
			}
		}
		for e, next := range n.children {
			walk(where+"/"+e, next)
		}
		if n.any != nil {
			walk(where+"/{"+n.param+"}", n.any)
		}
	}
	walk("", routeTree())
}

func TestNormalisation(t *testing.T) {
	for _, tt := range []struct {
		name, key, val string
		want           any
		datacenter     map[string]any
	}{
		{"units are clamped", "cpuunits", "20000", 10000.0, nil},
		{"tags are lowered, sorted, once", "tags", "b a;B,A", "a;b", nil},
		{"tags keep their case", "tags", "b A a", "A;a;b", map[string]any{"tag-style": "case-sensitive=1"}},
		{"tags keep their order", "tags", "b;A;b", "b;a", map[string]any{"tag-style": "ordering=config"}},
		{"limit as given", "cpulimit", "1.50", "1.50", nil},
		{"nameservers by blanks", "nameserver", "192.0.2.1, 192.0.2.2;fd00::1", "192.0.2.1 192.0.2.2 fd00::1", nil},
		{"description ends in a newline", "description", "a\n\n", "a\n", nil},
		{"leading zeros", "memory", "0600", 600.0, nil},
		{"empty tags are a blank", "tags", "", " ", nil},
		{
			"interface is printed anew", "net0", "ip=dhcp,firewall=on,name=eth0,hwaddr=BC:24:11:00:00:01,bridge=vmbr0",
			"name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth", nil,
		},
		{"mount is printed anew", "mp0", "local-btrfs:1.5,ro=yes,mp=/a,backup=0", "local-btrfs:101/vm-101-disk-1.raw,mp=/a,backup=0,ro=1,size=1536M", nil},
		{"features stay verbatim", "features", "keyctl=yes,nesting=1", "keyctl=yes,nesting=1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := lab(t)
			st.Datacenter = tt.datacenter
			s := start(t, st, Options{})
			create(t, s, "101", nil)
			must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{tt.key: tt.val})
			if got := config(t, s, "101")[tt.key]; got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestMACPrefix(t *testing.T) {
	st := lab(t)
	st.Datacenter = map[string]any{"mac_prefix": "02:00"}
	s := start(t, st, Options{Seed: 1})
	create(t, s, "101", map[string]string{"net0": "name=eth0,bridge=vmbr0"})
	net, _ := config(t, s, "101")["net0"].(string)
	if !strings.Contains(net, "hwaddr=02:00:") || len(strings.Split(net, ":")) != 6 {
		t.Errorf("net0 %q", net)
	}
}

// A network from the eleventh on cannot be taken from a running container: the pattern in Proxmox takes one digit.
func TestUnplugNetwork(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", map[string]string{"net9": "name=eth9,bridge=vmbr0", "net10": "name=eth10,bridge=vmbr0"})
	must(t, s, "POST", "/nodes/pve1/lxc/101/status/start", nil)
	must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"delete": "net9,net10"})
	c := s.guests[101].conf
	if _, ok := c.values["net9"]; ok || c.pending.values["delete"] != "net10" {
		t.Errorf("net9 %q, pending delete %q", c.values["net9"], c.pending.values["delete"])
	}
}

// A change that fails when the runtime configuration is written is in force nevertheless.
func TestFailureAfterCommit(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", nil)
	got := refused(t, s, rootUser, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"net0": "name=eth0,bridge=vmbr9"})
	if !strings.Contains(got, "bridge 'vmbr9' does not exist") {
		t.Errorf("error %q", got)
	}
	if _, ok := s.guests[101].conf.values["net0"]; !ok {
		t.Error("the change is lost")
	}
}

func TestVolumeNames(t *testing.T) {
	st := lab(t)
	for id, kind := range map[string]string{"zfs": "zfspool", "thin": "lvmthin", "thick": "lvm", "ceph": "rbd", "nas": "nfs"} {
		st.Storages[id] = &Storage{Type: kind, Path: "/mnt/pve/nas", Pool: "tank", VGName: "pve", Content: []string{"rootdir"}}
	}
	s := start(t, st, Options{})
	create(t, s, "101", nil)
	for i, tt := range []struct{ storage, want string }{
		{"zfs", "zfs:subvol-101-disk-0"},
		{"zfs", "zfs:subvol-101-disk-1"},
		{"thin", "thin:vm-101-disk-0"},
		{"thick", "thick:vm-101-disk-0"},
		{"ceph", "ceph:vm-101-disk-0"},
		{"nas", "nas:101/vm-101-disk-0.raw"},
		{"local", "local:101/vm-101-disk-0.raw"},
	} {
		key := fmt.Sprintf("mp%d", i)
		must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{key: tt.storage + ":1,mp=/" + key})
		if got, want := config(t, s, "101")[key], tt.want+",mp=/"+key+",size=1G"; got != want {
			t.Errorf("%s: %q, want %q", tt.storage, got, want)
		}
	}
	// the lowest free number is taken again
	must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"delete": "mp0"})
	must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"delete": "unused0"})
	must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"mp0": "zfs:1,mp=/again"})
	if got := config(t, s, "101")["mp0"]; got != "zfs:subvol-101-disk-0,mp=/again,size=1G" {
		t.Errorf("mp0 %q", got)
	}
}

func TestFullStorage(t *testing.T) {
	st := lab(t)
	st.Storages["thick"] = &Storage{Type: "lvm", VGName: "pve", Content: []string{"rootdir"}, Total: 4 << 30}
	s := start(t, st, Options{})
	create(t, s, "101", nil)
	got := refused(t, s, rootUser, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"mp0": "thick:5,mp=/a"})
	want := `mp0: unable to apply pending change mp0 : lvcreate 'pve/vm-101-disk-0' error: Volume group "pve" has insufficient free space (1024 extents): 1280 required.`
	if !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := s.FillStorage("local-btrfs", 1<<20); err != nil {
		t.Fatal(err)
	}
	got = refused(t, s, rootUser, "POST", "/nodes/pve1/lxc", map[string]string{
		"vmid":       "102",
		"ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst", "rootfs": "local-btrfs:1",
	})
	if !strings.Contains(got, "unable to create CT 102 - command 'mkfs.ext4") || s.guests[102] != nil {
		t.Errorf("status %q, left %v", got, s.guests[102])
	}
}

func TestExt4(t *testing.T) {
	f := newExt4(1 << 30)
	if f.total() != 1020702720 || f.used() != 34504704 {
		t.Errorf("1G: total %d, used %d", f.total(), f.used())
	}
	want := []string{
		"Creating filesystem with 262144 4k blocks and 65536 inodes", "Filesystem UUID: x",
		"Superblock backups stored on blocks: ", "\t32768, 98304, 163840, 229376",
	}
	if diff := cmp.Diff(want, f.mkfsLog("x")); diff != "" {
		t.Errorf("(-node +simulated):\n%s", diff)
	}
}

func TestClusterOfNodes(t *testing.T) {
	st := lab(t)
	name := "home"
	st.Cluster.Name = &name
	st.Nodes["pve2"] = &Node{IP: "192.0.2.2", CPUs: 1, Memory: 1 << 30, Bridges: map[string]*Bridge{"vmbr0": {MTU: 1500}}}
	st.Nodes["pve3"] = &Node{IP: "192.0.2.3", CPUs: 1, Memory: 1 << 30, Offline: true}
	s := start(t, st, Options{})
	create(t, s, "101", nil)
	if got := refused(t, s, rootToken, "GET", "/nodes/pve3/lxc", nil); !strings.Contains(got, "595") {
		t.Errorf("offline node: %q", got)
	}
	if got := refused(t, s, rootToken, "GET", "/nodes/pve2/lxc/101/config", nil); !strings.Contains(got, "'nodes/pve2/lxc/101.conf' does not exist") {
		t.Errorf("other node: %q", got)
	}
	if got := refused(t, s, rootToken, "POST", "/nodes/pve2/lxc", map[string]string{"vmid": "101", "ostemplate": "local:vztmpl/x.tar.zst"}); !strings.Contains(got, "CT 101 already exists on node 'pve1'") {
		t.Errorf("taken id: %q", got)
	}
	must(t, s, "POST", "/nodes/pve1/lxc/101/migrate", map[string]string{"target": "pve2"})
	must(t, s, "GET", "/nodes/pve2/lxc/101/config", nil)
	var rows []map[string]any
	if err := json.Unmarshal(must(t, s, "GET", "/cluster/status", nil), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || rows[0]["quorate"] != 1.0 || rows[3]["online"] != 0.0 {
		t.Errorf("cluster status %v", rows)
	}
}

func TestVirtualMachinesOccupyTheirIDs(t *testing.T) {
	st := lab(t)
	st.VMs[100] = &VM{Node: "pve1", Name: "desktop"}
	s := start(t, st, Options{})
	if got := string(must(t, s, "GET", "/cluster/nextid", nil)); got != `"101"` {
		t.Errorf("next id %s", got)
	}
	if got := refused(t, s, rootToken, "POST", "/nodes/pve1/lxc", map[string]string{"vmid": "100", "ostemplate": "local:vztmpl/x.tar.zst"}); !strings.Contains(got, "VM 100 already exists on node 'pve1'") {
		t.Errorf("create: %q", got)
	}
	if got := string(must(t, s, "GET", "/nodes/pve1/lxc", nil)); got != "[]" {
		t.Errorf("containers %s", got)
	}
	if got := string(must(t, s, "GET", "/cluster/resources", map[string]string{"type": "vm"})); !strings.Contains(got, `"type":"qemu"`) {
		t.Errorf("resources %s", got)
	}
}

func TestPrivileges(t *testing.T) {
	st := lab(t)
	no := false
	st.Users["ann@pve"] = &User{Password: proxmox.NewSecret("x"), Tokens: map[string]*Token{"sep": {PrivSep: true, Secret: proxmox.NewSecret("s")}, "full": {Secret: proxmox.NewSecret("s")}}}
	st.Groups["ops"] = []string{"ann@pve"}
	st.Pools["home"] = &Pool{VMs: []proxmox.VMID{101}}
	st.ACL = []ACL{
		{Path: "/", Role: "PVEAuditor", Group: "ops"},
		{Path: "/vms", Role: "PVEVMUser", User: "ann@pve", Propagate: &no},
		{Path: "/vms/102", Role: "NoAccess", User: "ann@pve"},
		{Path: "/pool/home", Role: "PVEVMAdmin", User: "ann@pve"},
		{Path: "/vms", Role: "PVEVMAdmin", Token: "ann@pve!sep"},
	}
	s := start(t, st, Options{})
	for _, tt := range []struct {
		user, path, priv string
		want             bool
		why              string
	}{
		{"ann@pve", "/vms", "VM.PowerMgmt", true, "an entry on the path itself"},
		{"ann@pve", "/vms/103", "VM.PowerMgmt", false, "it does not propagate"},
		{"ann@pve", "/vms/103", "VM.Audit", true, "of the group, from the root"},
		{"ann@pve", "/vms", "Sys.Audit", false, "an entry of the user replaces that of the root"},
		{"ann@pve", "/vms/102", "VM.Audit", false, "no access"},
		{"ann@pve", "/vms/101", "VM.Allocate", true, "by the pool"},
		{"ann@pve!full", "/vms/101", "VM.Allocate", true, "a token without separation is its owner"},
		{"ann@pve!sep", "/vms/101", "VM.Allocate", true, "both have it"},
		{"ann@pve!sep", "/vms/103", "VM.Allocate", false, "the owner has it not"},
		{"ann@pve!sep", "/nodes/pve1", "Sys.Audit", false, "the token has it not"},
		{"root@pam!lab", "/", "Permissions.Modify", true, "root's token without separation"},
		{"felhom@pve!none", "/", "Sys.Audit", false, "a token without an entry"},
		{"nobody@pve", "/", "Sys.Audit", false, "unknown"},
	} {
		if got := s.access.has(tt.user, tt.path, tt.priv); got != tt.want {
			t.Errorf("%s on %s for %s: %v (%s)", tt.priv, tt.path, tt.user, got, tt.why)
		}
	}
}

func TestBuiltinRoles(t *testing.T) {
	roles := builtinRoles()
	if len(roles) != 17 {
		t.Errorf("%d roles: %v", len(roles), sortedKeys(roles))
	}
	if len(roles["Administrator"]) != 47 || roles["PVEAdmin"]["Sys.Modify"] || roles["PVEAdmin"]["Mapping.Modify"] {
		t.Errorf("Administrator has %d privileges; PVEAdmin %v", len(roles["Administrator"]), sortedKeys(roles["PVEAdmin"]))
	}
	if got := sortedKeys(roles["PVEAuditor"]); !slices.Contains(got, "Pool.Audit") || slices.Contains(got, "VM.Backup") {
		t.Errorf("PVEAuditor %v", got)
	}
}

func TestTagPermissions(t *testing.T) {
	st := lab(t)
	st.Datacenter = map[string]any{"registered-tags": "prod", "user-tag-access": "user-allow=list,user-allow-list=mine"}
	s := start(t, st, Options{})
	create(t, s, "101", nil)
	put := func(tags string) error {
		_, err := request(s, "felhom@pve!agent", "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"tags": tags})
		return err
	}
	if err := put("mine"); err != nil {
		t.Error(err)
	}
	for _, tag := range []string{"prod", "other"} {
		if err := put(tag); err == nil || !strings.Contains(err.Error(), "/, Sys.Modify for modifying tag '"+tag+"'") {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

// With a seed, a container's generated addresses do not depend on what happens next to it.
func TestSeed(t *testing.T) {
	net := func(before ...string) any {
		s := start(t, lab(t), Options{Seed: 7})
		for _, id := range append(before, "101") {
			create(t, s, id, map[string]string{"net0": "name=eth0,bridge=vmbr0"})
		}
		return config(t, s, "101")["net0"]
	}
	alone, among := net(), net("102", "103")
	if alone != among {
		t.Errorf("alone %v, after others %v", alone, among)
	}
}
