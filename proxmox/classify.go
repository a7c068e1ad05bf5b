package proxmox

import (
	"regexp"
	"strings"
)

// invalidText is the message of every answer that names bad parameters
// (pve-common Exception.pm, raise_param_exc).
const invalidText = "Parameter verification failed."

// A verdict is what a text of Proxmox means.
type verdict struct {
	class   error
	lock    string
	missing Privileges
}

// A textRule gives the class of the texts that match. All are anchored at the start, since what follows may
// hold words of the user.
type textRule struct {
	text  *regexp.Regexp
	class error
}

// textRules is the one place in which texts of Proxmox are told apart; the first match decides.
var textRules = []textRule{
	// pve-common Tools.pm, assert_if_modified
	{regexp.MustCompile(`^detected modified configuration\b`), ErrModified},
	// pve-guest-common AbstractConfig.pm, check_lock
	{regexp.MustCompile(`^(?:CT|VM) is locked\b`), ErrLocked},
	// pve-guest-common AbstractConfig.pm, check_protection; pve-storage Plugin.pm, free_image
	{regexp.MustCompile(`^can(?:'t|not) .* - protection mode enabled\b`), ErrProtected},
	{regexp.MustCompile(`^can(?:'t|not) remove protected volume\b`), ErrProtected},
	// pve-common Tools.pm, lock_file_full; pve-cluster Cluster.pm, cfs_lock; pve-guest-common
	// GuestHelpers.pm, guest_migration_lock; pve-manager VZDump.pm, getlock
	{regexp.MustCompile(`^can't (?:lock file|ac?quire lock) '[^']*' - got timeout\b`), ErrBusy},
	{regexp.MustCompile(`^got lock (?:request )?timeout\b`), ErrBusy},
	{regexp.MustCompile(`(?i)^failed to obtain guest migration lock\b`), ErrBusy},
	// pve-cluster Cluster.pm, check_cfs_quorum and cfs_lock
	{regexp.MustCompile(`^cluster not ready - no quorum\b`), ErrNoQuorum},
	{regexp.MustCompile(`^no quorum!`), ErrNoQuorum},
	// pve-common Exception.pm, raise_perm_exc; pve-manager API2/Backup.pm; pve-container LXC/Status.pm;
	// pve-storage Storage.pm, check_volume_access; pve-container API2/LXC.pm, restore
	{permissionText, ErrForbidden},
	{rootText, ErrForbidden},
	// pve-guest-common AbstractConfig.pm, load_config
	{regexp.MustCompile(`^Configuration file '[^']*/\d+\.conf' does not exist\b`), ErrNoGuest},
	{regexp.MustCompile(`^unable to find configuration file for (?:CT|VM) \d+`), ErrNoGuest},
	// pve-storage ZFSPoolPlugin.pm, LvmThinPlugin.pm and RBDPlugin.pm, volume_snapshot_delete, with what the tools
	// themselves say
	{regexp.MustCompile(`^zfs error: could not find any snapshots to destroy\b`), ErrNoVolumeSnapshot},
	{regexp.MustCompile(`^lvremove snapshot '[^']*' error:\s+Failed to find logical volume\b`), ErrNoVolumeSnapshot},
	{regexp.MustCompile(`^rbd snapshot '[^']*' error: .*\(2\) No such file or directory`), ErrNoVolumeSnapshot},
	{regexp.MustCompile(`^snapshot '[^']*' does not exist on '`), ErrNoVolumeSnapshot},
	// storages, volumes, snapshots, pools, bridges, …: all of one form
	{regexp.MustCompile(`^[A-Za-z][\w ]* '[^']*' does not exist\b`), ErrNotFound},
	{regexp.MustCompile(`(?i)^no such (?:task|job|vzdump job|template|node|cluster node|volume|pool|storage|snapshot|user|logical volume)\b`), ErrNotFound},
	// pve-common INotify/Tools: the name of a node that is not in the cluster is looked up as a host
	{regexp.MustCompile(`^hostname lookup '[^']*' failed\b`), ErrNotFound},
	{regexp.MustCompile(`^[A-Za-z]+ (?:\d+|'[^']*') already exists\b`), ErrExists},
	{regexp.MustCompile(`^[A-Za-z ]+ '[^']*' already (?:used|defined)\b`), ErrExists},
	{regexp.MustCompile(`^refusing to override existing file\b`), ErrExists},
	// pve-container API2/LXC/Status.pm, API2/LXC.pm (resize); pve-manager API2/Pool.pm
	{regexp.MustCompile(`^(?:CT|VM) \d+ (?:already|not) running\b`), ErrAlready},
	{regexp.MustCompile(`^disk is already at specified size\b`), ErrAlready},
	{regexp.MustCompile(`^(?:CT|VM) \d+ is (?:already|not) a pool member\b`), ErrAlready},
	// pve-storage LVMPlugin.pm and LvmThinPlugin.pm, with what LVM itself says
	{regexp.MustCompile(`^lv(?:create|extend) '[^']*' error:\s+(?:Volume group "[^"]*" has )?[Ii]nsufficient (?:free|suitable) `), ErrNoSpace},
	{regexp.MustCompile(`^Parameter verification failed\.`), ErrInvalid},
}

var (
	// wrapping is what Proxmox puts before a text when it passes it on.
	wrapping = regexp.MustCompile(`^(?:` + strings.Join([]string{
		`TASK ERROR: `,
		`\d{3} `, // the status of a re-thrown exception
		`unable to (?:create|restore) (?:CT|VM) \d+ (?:- |: )`, // pve-container API2/LXC.pm, create_vm
		`(?:clone|snapshot|rollback) failed: `,
		`(?:create|update|delete) pools? failed: `, // pve-manager API2/Pool.pm
		`Container \d+: `,               // pve-container API2/LXC.pm, move_volume
		`error with cfs lock '[^']*': `, // pve-cluster Cluster.pm, cfs_lock
		`cfs-lock '[^']*' error: `,
	}, `|`) + `|` + appliedText + `)`)

	// applied marks the failure of a change that stands in the config file already: it was written, or
	// half applied, before it failed (pve-container LXC/Config.pm, vmconfig_hotplug_pending and
	// vmconfig_apply_pending). Nothing is wrong with the parameter as such.
	applied = regexp.MustCompile(`^` + appliedText)

	// firstParam leads to the first parameter of a re-thrown exception, whose error may say more.
	firstParam = regexp.MustCompile(`^Parameter verification failed\.\s+[\w.-]+: `)

	permissionText = regexp.MustCompile(`(?s)^Permission check failed(?: \((.*)\))?`)
	privilegeText  = regexp.MustCompile(`^(/[^,]*), ([\w.]+(?:\|[\w.]+)*)$`)
	rootText       = regexp.MustCompile(`^(?:Only root (?:may (?:set|use) this option|can pass arbitrary filesystem paths)|` +
		`restoring '[^']*' to (?:bind|device) mount is only possible for root)\b`)
	rootReason = regexp.MustCompile(`only allowed for root@pam|^user != root@pam|not available with API token`)
	lockName   = regexp.MustCompile(`^(?:CT|VM) is locked \(([^)]*)\)`)
)

const appliedText = `unable to (?:hotplug|apply pending change) \S+ ?: `

// classifyText tells what a text means, be it of an answer or of a failed task.
func classifyText(text string) verdict {
	text = unwrapText(text)
	if head := firstParam.FindString(text); head != "" {
		if v := classifyText(text[len(head):]); v.class != nil {
			return v
		}
	}
	for _, r := range textRules {
		if !r.text.MatchString(text) {
			continue
		}
		v := verdict{class: r.class, missing: missingPrivileges(text)}
		if m := lockName.FindStringSubmatch(text); m != nil {
			v.lock = m[1]
		}
		return v
	}
	return verdict{}
}

func unwrapText(text string) string {
	for {
		rest := strings.TrimSpace(strings.TrimPrefix(text, wrapping.FindString(text)))
		if rest == text {
			return text
		}
		text = rest
	}
}

// classifyParams tells what the errors of single parameters mean. One alone may say more than that it is
// invalid, as does "VM 101 already exists".
func classifyParams(params map[string]string) verdict {
	for _, text := range params {
		if v := classifyText(text); len(params) == 1 && v.class != nil {
			return v
		}
		if applied.MatchString(text) {
			return verdict{}
		}
	}
	return verdict{class: ErrInvalid}
}

func missingPrivileges(text string) Privileges {
	if rootText.MatchString(text) {
		return Privileges{RootOnly: true}
	}
	m := permissionText.FindStringSubmatch(text)
	if m == nil {
		return Privileges{}
	}
	if rootReason.MatchString(m[1]) {
		return Privileges{RootOnly: true}
	}
	if p := privilegeText.FindStringSubmatch(m[1]); p != nil {
		return Privileges{Path: p[1], AnyOf: strings.Split(p[2], "|")}
	}
	return Privileges{}
}
