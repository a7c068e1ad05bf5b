package setting

import "strings"

// CPU and memory.
var (
	Cores = Key[int64]{
		Path: "cores", PVE: "cores", Type: Integer(1, 8192), Example: "4",
		Doc:     "Number of CPU cores that the container sees. Absent: all of the node's.",
		Running: "online; the node moves the container to other cores within seconds",
	}
	CPULimit = Key[float64]{
		Path: "cpuLimit", PVE: "cpulimit", Type: Number(0, 8192, ""), Label: "CPU limit", Example: "2.5",
		Doc:     "Limit of CPU time, in cores. 0 is no limit.",
		Default: new(0.0), Absent: new(0.0),
	}
	CPUUnits = Key[int64]{
		Path: "cpuUnits", PVE: "cpuunits", Type: Integer(0, 500000), Label: "CPU units", Example: "200",
		Doc:     "CPU weight against other guests. Proxmox stores at most 10000.",
		Default: new(int64(100)), Absent: new(int64(100)),
		// pve-common CGroup.pm, clamp_cpu_shares: cgroup v2 knows weights up to 10000.
		Normal: func(v int64, _ Facts) int64 { return min(v, 10000) },
	}
	Memory = Key[Bytes]{
		Path: "memory", PVE: "memory", Type: Amount(16*MiB, MiB, inMiB{}), Example: "4GiB",
		Doc:     "Memory, 16MiB or more. The node's kernel may refuse to shrink it below what is in use.",
		Default: new(512 * MiB), Absent: new(512 * MiB), Fixed: true,
	}
	Swap = Key[Bytes]{
		Path: "swap", PVE: "swap", Type: Amount(0, MiB, inMiB{}), Example: "512MiB",
		Doc: "Swap space beside the memory. 0MiB is none.",
		// Create writes 512 where none is given, but a configuration without the key has no swap
		// (pve-container API2/LXC.pm create_vm, LXC.pm vmstatus).
		Default: new(512 * MiB), Absent: new(Bytes(0)),
	}
)

// Identity and system.
var (
	Hostname = Key[string]{
		Path: "hostname", PVE: "hostname", Type: dnsName(), Example: "web.home.lan",
		Doc: "Host name. Absent: the container's name in the spec.",
		Hint: func(_, _ *string, f Facts) string {
			if f.Running {
				return "the guest sees it from its next start"
			}
			return ""
		},
		Running: "online; the guest sees it from its next start",
	}
	Description = Key[string]{
		Path: "description", PVE: "description", Example: "Jellyfin",
		Type: lastLineEnd(Text("text of at most 8192 characters", func(s string) error {
			return atMost(len([]rune(s)), 8192)
		})),
		Doc: "Notes, shown by Proxmox as Markdown.", Absent: new(""),
		// Proxmox keeps it as comment lines and gives it back with exactly one line end
		// (pve-container LXC/Config.pm, write_pct_config).
		Normal: func(v string, _ Facts) string { return strings.TrimRight(v, "\n") },
	}
	Tags = Key[[]string]{
		Path: "tags", PVE: "tags", Example: "[media, docker]",
		Type: Unordered(List("tag (letters, digits, _ - + .)", Words, ";", checkTag)),
		Doc: "Tags. Proxmox sorts and lower-cases them unless the datacenter's tag style says otherwise; tend adds the " +
			"owner's tag.",
		Absent: new([]string(nil)),
		Normal: normalTags,
	}
	Arch = Key[string]{
		Path: "arch", PVE: "arch", Type: Enum("amd64", "i386", "arm64", "armhf", "riscv32", "riscv64"),
		Doc: "Architecture. Absent: what Proxmox found in the template.", Keep: true, Fixed: true,
		OnEdit: afterStop[string], Example: "amd64",
	}
	OSType = Key[string]{
		Path: "osType", PVE: "ostype", Label: "OS type", Keep: true, Fixed: true, OnEdit: afterStop[string],
		Type: Enum("debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine", "gentoo",
			"nixos", "unmanaged"), Example: "debian",
		Doc: "Which of Proxmox's set-up scripts applies. Absent: what Proxmox found in the template; " +
			"unmanaged leaves the guest's files alone.",
	}
	Unprivileged = Key[bool]{
		Path: "unprivileged", PVE: "unprivileged", Type: Boolean(), Fixed: true, Example: "true",
		Doc:     "Whether root in the container is an ordinary user of the node. An existing container cannot change it.",
		Default: new(true), Absent: new(false), OnEdit: onlyNew[bool], Running: "recreate",
	}
	TimeZone = Key[string]{
		Path: "timezone", PVE: "timezone", Example: "Europe/Vienna", OnEdit: afterStop[string],
		Type: Text("time zone", checkTimeZone),
		Doc:  "Time zone: a name such as Europe/Vienna, or host for the node's. Absent: the guest's own.",
	}
	Protection = Key[bool]{
		Path: "protection", PVE: "protection", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Refuse to destroy the container or to change its volumes. tend lifts it for a volume change of the " +
			"spec and puts it back.", Example: "true",
	}
	Template = Key[bool]{
		Path: "template", PVE: "template", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc:    "Whether the container is a template, which clones are linked to. It cannot be undone.",
		OnEdit: editTemplate, Hint: hintTemplate,
		Running: "refused: it is made of a stopped container", Example: "false",
	}
)

// editTemplate is the rule of the template flag: made of a stopped container, for good. Proxmox would take the flag
// as a setting too, and make a template of it that is none: its volumes stay what they are (pve-container API2/LXC.pm,
// template, against LXC/Config.pm).
func editTemplate(_, new *bool, f Facts) Effect {
	switch {
	case new == nil || !*new:
		return onlyNew[bool](nil, new, f)
	case f.Running:
		return Refused
	}
	return Online
}

func hintTemplate(_, new *bool, f Facts) string {
	switch {
	case new == nil || !*new || f.Creating:
		return ""
	case f.Running:
		return "a running container cannot become a template: write state: stopped"
	}
	return "for good"
}

// lastLineEnd compares texts without the line ends at their end, which Proxmox adds and drops.
func lastLineEnd(t Type[string]) Type[string] {
	t.Equal = func(a, b string) bool { return strings.TrimRight(a, "\n") == strings.TrimRight(b, "\n") }
	t.Text = func(s string) string { return strings.TrimRight(s, "\n") }
	return t
}

// Name resolution.
var (
	NameServers = Key[[]string]{
		Path: "dns.servers", PVE: "nameserver", Label: "DNS servers", Example: "[192.168.1.1]",
		Type: List("IP address", Words, " ", checkIPLinkLocal),
		Doc:  "DNS servers. Absent, with dns.search absent too: the node's own.", Absent: new([]string(nil)),
		OnEdit: afterStop[[]string],
	}
	SearchDomains = Key[[]string]{
		Path: "dns.search", PVE: "searchdomain", Label: "DNS search", Example: "home.lan",
		Type: List("domain name", Words, " ", checkDNSName),
		Doc:  "Domains in which short names are looked up.", Absent: new([]string(nil)),
		OnEdit: afterStop[[]string],
	}
)
