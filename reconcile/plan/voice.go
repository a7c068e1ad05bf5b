package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
)

// A Voice says to whom plans speak of the ways out, which differ: whoever runs a command can give it a flag, and whoever
// has an agent can write something into its configuration, or run a command beside it. All texts that differ so stand
// here.
type Voice string

// The voices.
const (
	ToCommand Voice = ""      // flags of the verb that made the plan
	ToAgent   Voice = "agent" // fields of the agent's configuration, and tend apply by hand
)

const (
	byHand   = "by hand: tend apply "
	inConfig = " in the agent's configuration"
)

// pick is the text for one of both.
func (v Voice) pick(command, agent string) string {
	if v == ToAgent {
		return agent
	}
	return command
}

// AllowDisks is what consents to the use of failing disks of a node: "--allow-failing-disk pve1:sda".
func (v Voice) AllowDisks(node string, disks []health.Disk) string {
	var names, flags []string
	for _, d := range disks {
		name := node + ":" + d.Name()
		names, flags = append(names, name), append(flags, "--allow-failing-disk "+name)
	}
	return v.pick(strings.Join(flags, " "), fmt.Sprintf("allowFailingDisks: %q", strings.Join(names, ", "))+inConfig)
}

// Prune is what has unclaimed containers destroyed, and what that does: "--prune destroys them".
func (v Voice) Prune() string {
	return v.pick("--prune destroys them", "prune: {enabled: true}"+inConfig+" destroys them")
}

// DestroyVolume is what destroys a volume that nothing mounts: "--destroy-volume ID:VOLUME".
func (v Voice) DestroyVolume(volume string) string {
	return v.pick("", "tend apply ") + "--destroy-volume " + volume
}

func (v Voice) adopt() string {
	return "to take it over: write adopt: true" + v.pick(", or apply with --adopt", " for it, or"+inConfig)
}

func (v Voice) pruneMore() string {
	return "allow more: " + v.pick("--prune-max", "prune: {max: N}"+inConfig)
}

func (v Voice) destroyOther() string {
	return "stop the other one, or " + v.pick("destroy it (--prune), and apply again", "have it destroyed: prune: {enabled: true}"+inConfig)
}

// unlock is the consent that a container is recovered; of names, those of the snapshots that it may be rolled back to, one
// must be chosen.
func (v Voice) unlock(id proxmox.VMID, names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s--unlock %d:%s", v.pick("", "tend apply "), id, name))
	}
	if len(out) == 0 {
		return fmt.Sprintf("%s--unlock %d", v.pick("", "tend apply "), id)
	}
	return strings.Join(out, " or ") + ", which names the snapshot that it is rolled back to"
}

// window says that something waits for a maintenance window and, where that is known, when one opens.
func (v Voice) window(what string, opens time.Time) (reason string, ways []string) {
	reason = what + " waits for a maintenance window"
	switch {
	case v != ToAgent:
		return reason, []string{"apply in a window: --window", "restart it now: --restart"}
	case opens.IsZero():
		return reason + ", and none is to open", []string{"write one" + inConfig + `: windows: [{schedule: "sun 03:00", duration: 2h}]`, byHand + "--restart"}
	}
	return reason + ", which opens " + opens.Format("Mon 2006-01-02 15:04"), []string{byHand + "--restart"}
}

// restartNever are the ways out where restart: never leaves a restart to a person.
func (v Voice) restartNever() []string {
	return []string{"restart it by hand", v.pick("restart it now: --restart", byHand+"--restart"), "write restart: now or restart: window"}
}
