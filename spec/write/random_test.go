package write_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
	"github.com/felhom/tend/spec/write"
)

// texts are texts of Proxmox's for single keys: common ones, and odd ones that are valid or were once
// written by hand into a file. Keys that are not here have the example of their row.
var texts = map[string][]string{
	"hostname": {"web", "web.home.lan", "Web", "db-1", "CT101", "a.b.c", "on", "null", "0660", "yes.home.lan", "xn--bcher-kva", strings.Repeat("a", 63), strings.Repeat("a", 64), "-bad-", "under_score"},
	"description": {
		"Jellyfin\n", "two\nlines\n", "100%: done\n", "tab\there\r\nand CR\r\n", "üäö ☃ \U0001F600\n", " leading\n", "trailing \nspace \n", "#hash\n\n\nblank\n",
		"\n\nlines first\n", "a\u2028b\u0085c\ufeffd\n", "\x01\x7f\n", "\xff\xfe bytes\n", "- list: [a, b]\n", "key: value # no comment\n", "'\"\\\n", strings.Repeat("x", 9000), "no\n", "~\n", "",
		"---\n...\n", "\ttab first\n  two\n", "|\n>\n", "é", "a: b", "!tag", "&a *b", "{{ jinja }}", "\u200b", "line\x00nul\n",
	},
	"tags":         {"media", "a;b;c", "a+b;c.d", "prod;web", "tend", "tend;web", "Media;web", "TEND", "b;a;b", " ", "x,y z", "bad!tag", "1", "on;off"},
	"cores":        {"1", "4", "8192", "0", "007"},
	"cpulimit":     {"0", "1.50", "2", "0.5", "128", "9000", "00.5"},
	"cpuunits":     {"100", "50", "1024", "10000", "20000", "0"},
	"memory":       {"512", "16", "1000", "4096", "8", "1048576"},
	"swap":         {"0", "512", "1000"},
	"nameserver":   {"192.168.1.1", "192.168.1.1 fd00::1", "fe80::1%eth0", "1.1.1.1 1.1.1.1", "host", " "},
	"searchdomain": {"home.lan", "home.lan example.org", "no", "bad_name", " "},
	"unprivileged": {"0", "1"},
	"features": {
		"nesting=1", "nesting=1,keyctl=1", "keyctl=1,nesting=1", "nesting=0", "nesting=0,keyctl=0", "fuse=1,mount=nfs;cifs,nesting=1", "mount=nfs", "mount=nfs cifs",
		"mknod=1,force_rw_sys=1", "force_rw_sys=0", "nesting=yes",
	},
	"arch":       {"amd64", "i386", "riscv64"},
	"ostype":     {"debian", "unmanaged", "nixos"},
	"timezone":   {"host", "UTC", "Europe/Vienna", "Etc/GMT-2", "America/Argentina/Buenos_Aires"},
	"onboot":     {"0", "1"},
	"startup":    {"order=2,up=10", "2", "order=0", "down=120", "order=1,up=90,down=3600", "up=0"},
	"protection": {"0", "1"}, "console": {"0", "1"}, "debug": {"0", "1"},
	"cmode": {"tty", "console", "shell"}, "tty": {"0", "2", "6"},
	"entrypoint": {"/sbin/init", "/bin/sh -c 'echo hi; sleep 1'", "a\tb", "\"quoted\" \\ $x # no", "yes"},
	"env":        {"A=1", "A=1\x00B=2", "TZ=Europe/Vienna\x00NO=yes\x00Y=n", "EMPTY=", "<<=x", "A=a=b\x00\x00Z=", "null=null", "K: x=1", "NUM=0660", "U=ü☃"},
	"hookscript": {"local:snippets/hook.sh", "local:snippets/a b.sh"},
	"template":   {"0", "1"},
	"rootfs": {
		"local-zfs:subvol-101-disk-0,size=8G", "local-lvm:vm-101-disk-0,size=1536M", "local:101/vm-101-disk-0.raw,acl=1,mountoptions=noatime;nosuid,size=4G",
		"local:101/subvol-101-disk-0.subvol,size=0T", "local-zfs:basevol-100-disk-0/subvol-101-disk-0,size=4G", "local-lvm:vm-101-disk-0", "/dev/sdb1", "/srv/root,ro=1",
		"local-zfs:subvol-101-disk-0,quota=1,size=8G", "local-zfs:subvol-101-disk-0,ro=1,shared=0,size=1000", "volume=ceph:vm-1,replicate=0,size=1T", "x:vm-1,size=1G",
	},
}

// memberTexts are texts of members, without what identifies them.
var memberTexts = map[string][]string{
	"net": {
		"bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth", "bridge=vmbr0,firewall=1,gw=192.168.1.1,hwaddr=BC:24:11:00:00:02,ip=192.168.1.2/24,type=veth",
		"bridge=vmbr1,hwaddr=bc:24:11:00:00:03,ip=manual,ip6=auto,tag=30,type=veth", "bridge=vmbr0,type=veth", "hwaddr=BC:24:11:00:00:04,type=veth",
		"bridge=vmbr0,gw6=fe80::1,hwaddr=BC:24:11:00:00:05,ip6=fd00::5/64,mtu=1400,rate=12.5,type=veth", "bridge=vmbr0,firewall=0,hwaddr=BC:24:11:00:00:06,link_down=1,trunks=10;20,type=veth",
		"bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:00:00:07,ip=192.168.1.7/24,type=veth", "bridge=vmbr0,hwaddr=01:24:11:00:00:08,ip=10.0.0.255/24", "bridge=vmbr0,host-managed=1,hwaddr=BC:24:11:00:00:09,ip6=auto",
		"bridge=vmbr0,host-managed=1,hwaddr=BC:24:11:00:00:0A,ip=dhcp,tag=1,rate=0", "bridge=vmbr0,gw=192.168.1.1,hwaddr=BC:24:11:00:00:0B,ip=dhcp",
	},
	"mp": {
		"local-zfs:subvol-%d-disk-%d,backup=1,size=64G", "local-lvm:vm-%d-disk-%d,size=1536M", "local:%d/vm-%d-disk-0.raw,acl=1,mountoptions=noatime;nosuid,ro=1,size=1G",
		"tank:subvol-%d-disk-%d,size=0T", "tank:subvol-%d-disk-%d", "/tank/media%d%d,ro=1", "/dev/sdb%d%d", "tank:subvol-%d-disk-%d,backup=0,keepattrs=1,quota=0,replicate=0,shared=1,size=1T",
		"tank:subvol-%d-disk-%d,idmap=passthrough,size=1G", "tank:subvol-%d-disk-%d,quota=1,size=1G", "tank:subvol-%d-disk-%d,idmap=u:0:100000:65536;g:0:100000:65536,size=8G",
	},
	"dev": {"gid=104,mode=0660", "", "deny-write=1,uid=1000", "gid=0,mode=0666", "mode=0777,deny-write=0"},
}

var identities = map[string][]string{
	"net": {"name=eth0", "name=eth1", "name=lan0", "name=eth0", "name=on", "name=veth.10"},
	"mp":  {"mp=/data", "mp=/srv/www", "mp=/var/lib/x", "mp=/data", "mp=/data/", "mp=/with space", "mp=/a: b #c", "mp=/yes", "mp=/dev", "mp=/ü"},
	"dev": {"/dev/dri/renderD128", "/dev/net/tun", "/dev/ttyUSB0", "path=/dev/dri/card0", "/dev/net/tun", "/dev//net/tun"},
}

// exampleWire is the example of a row in Proxmox's text, by its key.
func exampleWire(t testing.TB, row setting.Row) map[string]string {
	t.Helper()
	var in any
	if err := yaml.Unmarshal([]byte(row.Info().Example), &in); err != nil {
		t.Fatalf("example of %s: %v", row.SpecPath(), err)
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&in); err != nil {
		t.Fatal(err)
	}
	v, ok := row.DecodeSpec(in, nil, func(at setting.Path, err error) { t.Errorf("example of %s: %s: %v", row.SpecPath(), at, err) })
	if !ok {
		return nil
	}
	if fam, ok := row.(*setting.Family); ok {
		out := map[string]string{}
		for id, r := range v.(setting.Members) {
			if _, made := setting.Storage.Get(r); made { // what is live has its volume
				setting.Volume.Set(r, setting.Storage.Or(r, "")+":subvol-1-disk-9")
			}
			out[fam.Key(7+len(out))] = fam.FormatMember(id, r)
		}
		return out
	}
	return map[string]string{row.PVEKey(): row.FormatWire(v)}
}

// rawLines are lines for LXC itself.
var rawLines = [][]proxmox.RawLine{
	{},
	{},
	{},
	{{Key: "lxc.apparmor.profile", Value: "unconfined"}},
	{{Key: "lxc.mount.entry", Value: "/dev/net/tun dev/net/tun none bind,create=file"}, {Key: "lxc.cgroup2.devices.allow", Value: "c 10:200 rwm"}},
	{{Key: "lxc.cap.drop", Value: ""}, {Key: "lxc.mount.entry", Value: "/a b none # bind\xff"}},
}

// A chance makes random containers.
type chance struct {
	*rand.Rand
	t testing.TB
}

func pick[T any](c chance, all []T) T { return all[c.IntN(len(all))] }

// value sets a random value of a row.
func (c chance) value(id int, row setting.Row, v proxmox.Values) {
	key := row.PVEKey()
	fam, ok := row.(*setting.Family)
	switch {
	case key == "lxc": // no key of the configuration
	case c.IntN(12) == 0 || !ok && texts[key] == nil || ok && memberTexts[key] == nil:
		if key == "rootfs" || key == "mp" {
			v["rootfs"] = pick(c, texts["rootfs"])
			return
		}
		for k, text := range exampleWire(c.t, row) {
			v[k] = text
		}
	case ok:
		for range 1 + c.IntN(3) {
			text := pick(c, memberTexts[key])
			n := c.IntN(20)
			if strings.Contains(text, "%d") {
				text = fmt.Sprintf(text, id, n)
			}
			if name := pick(c, identities[key]); key == "mp" {
				text += "," + name
			} else {
				text = strings.TrimSuffix(name+","+text, ",")
			}
			v[fam.Key(n)] = text
		}
	default:
		v[key] = pick(c, texts[key])
	}
}

// source makes one container.
func (c chance) source(id int) write.Source {
	s := write.Source{
		Ref: proxmox.Ref{Node: pick(c, []string{"pve1", "pve1", "pve1", "pve2"}), ID: proxmox.VMID(id)}, Power: pick(c, []spec.Power{spec.Running, spec.Running, spec.Stopped}),
		Config: proxmox.Config{Current: proxmox.Values{"rootfs": fmt.Sprintf("local-zfs:subvol-%d-disk-0,size=8G", id)}, Pending: proxmox.Values{}, Deleted: map[string]bool{}, Digest: "d"},
	}
	v := s.Config.Current
	often := c.IntN(10)
	for _, row := range setting.Container.Rows {
		if c.IntN(12) > often {
			c.value(id, row, v)
		}
	}
	if c.IntN(4) > 0 {
		v["hostname"] = fmt.Sprintf("ct%d", id)
	}
	if c.IntN(3) == 0 {
		v["unused0"] = fmt.Sprintf("local-zfs:subvol-%d-disk-99", id)
	}
	if c.IntN(10) == 0 {
		v["novelty"], v["lock"], v["parent"] = "1\x01", "backup", "before"
	}
	s.Raw = slices.Clone(pick(c, rawLines))
	if v["template"] == "1" {
		s.Power = spec.Stopped
	}
	if s.Power == spec.Running && c.IntN(3) == 0 {
		c.pend(id, &s)
	}
	return s
}

// same reports whether two texts mean the same: Proxmox keeps nothing pending that changes nothing.
func same(a, b string, row setting.Row) bool {
	value := func(s string) any {
		if s == "" {
			return nil
		}
		if fam, ok := row.(*setting.Family); ok {
			_, r, _ := fam.ParseMember(s)
			return r
		}
		v, err := row.ParseWire(s)
		if err != nil {
			return nil
		}
		return v
	}
	x, y := value(a), value(b)
	if x == nil && y == nil {
		return true
	}
	return row.Equal(x, y)
}

// pend makes a few changes pending.
func (c chance) pend(id int, s *write.Source) {
	for range 1 + c.IntN(3) {
		row := pick(c, setting.Container.Rows)
		switch row.PVEKey() {
		case "rootfs", "template", "unprivileged", "mp", "net", "protection", "tags": // in force at once, or never other values of the same
			continue
		}
		if c.IntN(2) == 0 {
			next := proxmox.Values{}
			c.value(id, row, next)
			for k, text := range next {
				if !same(s.Config.Current[k], text, row) && !s.Config.Deleted[k] {
					s.Config.Pending[k] = text
				}
			}
		} else if key := row.PVEKey(); !same(s.Config.Current[key], "", row) && s.Config.Pending[key] == "" && !row.Info().Fixed {
			s.Config.Deleted[key] = true
		}
	}
	for key := range s.Config.Current {
		if strings.HasPrefix(key, "mp") && c.IntN(4) == 0 {
			s.Config.Deleted[key] = true
		}
	}
}

// TestRandom writes random clusters and reads them back: the next plan is the owner's tag, and then nothing.
func TestRandom(t *testing.T) {
	total := 10000
	if testing.Short() {
		total = 1000
	}
	written, leftOut, ignored := 0, 0, 0
	for seed := uint64(0); written < total; seed++ {
		c := chance{rand.New(rand.NewPCG(seed, 1)), t}
		style := pick(c, []setting.TagStyle{{}, {}, {CaseSensitive: true}, {KeepOrder: true}})
		var sources []write.Source
		for i := range 1 + c.IntN(12) {
			sources = append(sources, c.source(100+i))
		}
		o := write.Options{TagStyle: style, Layout: pick(c, []write.Layout{write.PerContainer, write.ByTag, write.Single}), NoLayers: c.IntN(4) == 0, Cluster: pick(c, []string{"", "home", "on: #x"})}
		r := write.Spec(sources, o)
		kept := slices.DeleteFunc(slices.Clone(sources), func(s write.Source) bool {
			return slices.ContainsFunc(r.Problems, func(p write.Problem) bool { return p.ID == s.Ref.ID && p.Path == "" })
		})
		inSync(t, r.Files, kept, style)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		written += len(kept)
		leftOut += len(sources) - len(kept)
		ignored += len(r.Problems) - (len(sources) - len(kept))
	}
	t.Logf("%d containers written, %d left out, %d settings ignored", written, leftOut, ignored)
}
