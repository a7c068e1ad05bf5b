package privileged

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// Create makes a container that has a setting which only root@pam may give it. It is one create with all settings,
// those of a token among them: a container that is half made could be started without the rest.
type Create struct {
	Node   string
	Params proxmox.CreateParams
}

// SetConfig sets, deletes and reverts settings that only root@pam may set, and no others, with the digest of the plan.
type SetConfig struct {
	Ref    proxmox.Ref
	Update proxmox.Update // Digest is a must
}

// SetRaw gives a container exactly these raw lines, in this order: those in force are replaced, those of snapshots
// stay. The lines that hold the setting env are not among them and stay too. It is also how a directory of the node is
// mounted so that snapshots stay possible ([RowSnapshotMounts]).
type SetRaw struct {
	Ref    proxmox.Ref
	Digest string // of the plan: SHA-1 of the whole file, in hex
	Lines  []proxmox.RawLine
}

// Unlock removes the lock that a task left when it was killed.
type Unlock struct {
	Ref  proxmox.Ref
	Lock string       // its name, as it stands in the configuration: "backup"
	Task proxmox.UPID // the task that set it; zero where its record is gone
}

// Exec runs a command in a running container, with a time limit, an empty environment and no input.
type Exec struct {
	Ref     proxmox.Ref
	Argv    []string      // program and arguments; no shell splits or expands them
	Timeout time.Duration // a second to an hour
}

// Row is [RowSettings].
func (Create) Row() Row { return RowSettings }

// Row is [RowSettings].
func (SetConfig) Row() Row { return RowSettings }

// Row is [RowRawLines].
func (SetRaw) Row() Row { return RowRawLines }

// Row is [RowUnlock].
func (Unlock) Row() Row { return RowUnlock }

// Row is [RowGuestCommands].
func (Exec) Row() Row { return RowGuestCommands }

// Target is the container that is to be made.
func (r Create) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node, ID: r.Params.ID} }

// Target is the container.
func (r SetConfig) Target() proxmox.Ref { return r.Ref }

// Target is the container.
func (r SetRaw) Target() proxmox.Ref { return r.Ref }

// Target is the container.
func (r Unlock) Target() proxmox.Ref { return r.Ref }

// Target is the container.
func (r Exec) Target() proxmox.Ref { return r.Ref }

func (Create) kind() string    { return "create" }
func (SetConfig) kind() string { return "set-config" }
func (SetRaw) kind() string    { return "set-raw" }
func (Unlock) kind() string    { return "unlock" }
func (Exec) kind() string      { return "exec" }

// String is "create container 101 on pve1".
func (r Create) String() string { return fmt.Sprintf("create container %v", r.Target()) }

// String names the settings, and no value.
func (r SetConfig) String() string {
	var words []string
	add := func(verb string, keys []string) {
		if len(keys) > 0 {
			words = append(words, verb+" "+strings.Join(slices.Sorted(slices.Values(keys)), ", "))
		}
	}
	add("set", r.Update.Set.Keys())
	add("delete", r.Update.Delete)
	add("revert", r.Update.Revert)
	return fmt.Sprintf("%s of container %v", strings.Join(words, "; "), r.Ref)
}

// String counts the lines: a value may be secret.
func (r SetRaw) String() string {
	return fmt.Sprintf("write %d raw lines of container %v", len(r.Lines), r.Ref)
}

// String is "remove lock backup of container 101 on pve1".
func (r Unlock) String() string { return fmt.Sprintf("remove lock %s of container %v", r.Lock, r.Ref) }

// String names the program, and no argument.
func (r Exec) String() string {
	program := ""
	if len(r.Argv) > 0 {
		program = r.Argv[0]
	}
	return fmt.Sprintf("run %s in container %v", program, r.Ref)
}

// A createText is a Create as it is sent: the only form in which its password is shown.
type createText struct {
	Node               string
	ID                 proxmox.VMID
	Template           string
	Values             proxmox.Values
	Storage            string   `json:",omitempty"`
	Pool               string   `json:",omitempty"`
	Password           string   `json:",omitempty"`
	SSHKeys            []string `json:",omitempty"`
	IgnoreUnpackErrors bool     `json:",omitempty"`
}

// MarshalJSON encodes the request with its password, for the socket alone.
func (r Create) MarshalJSON() ([]byte, error) {
	p := r.Params
	return json.Marshal(createText{
		r.Node, p.ID, p.Template, p.Values, p.Storage, p.Pool, p.Password.Reveal(), p.SSHKeys, p.IgnoreUnpackErrors,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Create) UnmarshalJSON(data []byte) error {
	var t createText
	if err := Decode(data, &t); err != nil {
		return err
	}
	*r = Create{t.Node, proxmox.CreateParams{
		ID: t.ID, Template: t.Template, Values: t.Values, Storage: t.Storage, Pool: t.Pool,
		Password: proxmox.NewSecret(t.Password), SSHKeys: t.SSHKeys, IgnoreUnpackErrors: t.IgnoreUnpackErrors,
	}}
	return nil
}
