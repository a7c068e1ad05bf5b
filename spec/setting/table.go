package setting

// Container is the table: every setting of a container, in the order in which plans and the reference show
// them.
var Container = Object{
	Name: "container",
	Rows: []Row{
		Hostname, Description, Tags,
		Cores, CPULimit, CPUUnits, Memory, Swap,
		RootFS, Mounts, Network, NameServers, SearchDomains, Devices,
		Unprivileged, Features, Arch, OSType, TimeZone,
		StartOnBoot, Startup, Protection, Console, ConsoleMode, TTYs, Debug, EntryPoint, Env, HookScript, Template, Raw,
	},
}
