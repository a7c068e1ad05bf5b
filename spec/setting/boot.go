package setting

import (
	"errors"
	"time"
)

// Start, console and what runs inside.
var (
	StartOnBoot = Key[bool]{
		Path: "startOnBoot", PVE: "onboot", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Start the container when the node boots. Containers under HA are left to HA.", Example: "true",
	}
	Startup = Key[Record]{
		Path: "startup", PVE: "startup", Type: startup.Type(), Absent: &Record{}, Example: "{order: 2, up: 30s}",
		Doc: "Place in the order in which the node starts its guests at boot; it stops them in reverse.",
	}
	Console = Key[bool]{
		Path: "console.enabled", PVE: "console", Type: Boolean(), Default: new(true), Absent: new(true),
		Label: "console", Doc: "Give the container a console device (/dev/console).", OnEdit: afterStop[bool], Example: "true",
	}
	ConsoleMode = Key[string]{
		Path: "console.mode", PVE: "cmode", Type: Enum("tty", "console", "shell"), Default: new("tty"),
		Absent: new("tty"), OnEdit: afterStop[string], Example: "tty",
		Doc: "What the console shows: a login on a tty (tty), /dev/console (console), or a shell without login (shell).",
	}
	TTYs = Key[int64]{
		Path: "console.ttys", PVE: "tty", Type: Integer(0, 6), Default: new(int64(2)), Absent: new(int64(2)),
		Label: "console ttys", Doc: "Number of ttys (/dev/tty1 and on).", OnEdit: afterStop[int64], Example: "2",
	}
	Debug = Key[bool]{
		Path: "debug", PVE: "debug", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Log verbosely when the container starts.", OnEdit: afterStop[bool], Example: "false",
	}
	EntryPoint = Key[string]{
		Path: "entrypoint", PVE: "entrypoint", OnEdit: afterStop[string], Example: `"/sbin/init"`,
		Type: Text("command line", printable), Absent: new("/sbin/init"), Default: new("/sbin/init"),
		Doc: "Command that runs as the first process.",
	}
	Env = Key[map[string]string]{
		Path: "env", PVE: "env", OnEdit: afterStop[map[string]string], Example: `{TZ: "UTC"}`,
		Type: Dictionary("text without control characters", "\x00", checkEnvName, printable),
		Doc:  "Environment of the first process. Plans tell the names alone.", Absent: new(map[string]string(nil)),
	}
	HookScript = Key[string]{
		Path: "hookScript", PVE: "hookscript", Example: `"local:snippets/hook.sh"`,
		Type: Pattern("name of a snippet of the spec, or a volume as local:snippets/hook.sh", `[^:\s]+:snippets/\S+|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?`),
		Doc:  "Script on the node that Proxmox runs before and after start and stop: the name of a snippet of the spec, or a volume.",
		MayEdit: func(_, _ *string, _ Facts) Access {
			return Access{
				Root: true, Reason: "hook scripts run as root on the node",
				Refusal: "Permission check failed (changing the hookscript is only allowed for root@pam)",
			}
		},
		Lane: "root",
	}
)

// Parts of startup.
var (
	startupOrder = Key[int64]{
		Path: "order", PVE: "order", Type: Integer(0, 1<<31-1), Doc: "Rank. Lower ones start first, and stop last.", Example: "2",
	}
	startupUp = Key[time.Duration]{
		Path: "up", PVE: "up", Type: Duration(), Doc: "How long to wait after this start before the next.", Example: "30s",
	}
	startupDown = Key[time.Duration]{
		Path: "down", PVE: "down", Type: Duration(), Doc: "How long to wait for the shutdown before a hard stop.", Example: "60s",
	}
	startup = Object{
		Name: "startup", DefaultKey: "order", Rows: []Row{startupOrder, startupUp, startupDown},
	}
)

// printable refuses what Proxmox does not take in a line of its file: control characters but the tab.
func printable(s string) error {
	if s == "" {
		return errors.New("is empty: remove the line")
	}
	for _, r := range s {
		if r < ' ' && r != '\t' || r == 0x7f {
			return errors.New("holds a control character, which Proxmox refuses")
		}
	}
	return nil
}
