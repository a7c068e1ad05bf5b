package setting

// Container is the table: every setting of a container, in the order in which plans and the reference show
// them.
var Container = Object{
	Name: "container",
	Groups: map[string]Group{
		"dns": {
			Doc:     "How names are looked up. Where both fields are absent, as the node does.",
			Example: "{servers: [192.168.1.1], search: home.lan}",
		},
		"console": {Doc: "What Proxmox's console of the container is connected to.", Example: "{mode: shell}"},
	},
	Rows: []Row{
		Hostname, Description, Tags,
		Cores, CPULimit, CPUUnits, Memory, Swap,
		RootFS, Mounts, Network, NameServers, SearchDomains, Devices,
		Unprivileged, Features, Arch, OSType, TimeZone,
		StartOnBoot, Startup, Protection, Console, ConsoleMode, TTYs, Debug, EntryPoint, Env, HookScript, Template, Raw,
	},
}
