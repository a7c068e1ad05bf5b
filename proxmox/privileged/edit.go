package privileged

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
)

// maxConfig is how large a file in /etc/pve may be (pve-cluster pmxcfs memdb.h, MEMDB_MAX_FILE_SIZE).
const maxConfig = 1 << 20

// ErrTooLarge is the error of an edit whose result the file system of /etc/pve would not take.
var ErrTooLarge = errors.New("the file would be larger than 1 MiB, which is all that /etc/pve holds of one")

// Edit gives the configuration file of a container the raw lines of want, in their order, and returns its new text.
//
// Only the first section is changed, the one in force, and in it only the raw lines; every other byte stays, those of
// pending changes and snapshots among them. The lines stand where Proxmox writes them: after all others of the section
// (pve-container LXC/Config.pm, write_pct_config). Lines that Proxmox drops, since it does not know their key, and
// those that hold the setting env are not raw lines here. A file that has the lines already is returned as it is.
//
// It is refused with [proxmox.ErrModified] where the file is not that of the digest, and with [proxmox.ErrLocked]
// where it carries a lock.
func Edit(file []byte, want []proxmox.RawLine, digest string) ([]byte, error) {
	f := conffile.Parse(file)
	if f.Config().Digest != digest {
		return nil, fmt.Errorf("the file is not the one that was planned on: %w", proxmox.ErrModified)
	}
	if err := checkLock(f); err != nil {
		return nil, err
	}
	for i, l := range want {
		if err := l.Check(); err != nil {
			return nil, fmt.Errorf("raw line %d: %w", i+1, err)
		}
	}
	if slices.Equal(RawLines(f), want) {
		return bytes.Clone(file), nil
	}
	out := render(f, want)
	if len(out) > maxConfig {
		return nil, ErrTooLarge
	}
	return out, nil
}

// RawLines are the raw lines in force that Proxmox knows, as the API shows them.
func RawLines(f *conffile.File) []proxmox.RawLine {
	return slices.DeleteFunc(f.Current().Raw(), func(l proxmox.RawLine) bool { return proxmox.CheckRawKey(l.Key) != nil })
}

// checkLock refuses a file that carries a lock, in the words of Proxmox (pve-guest-common AbstractConfig.pm,
// check_lock).
func checkLock(f *conffile.File) error {
	lock, ok := f.Current().Values()["lock"]
	if !ok {
		return nil
	}
	return proxmox.NewAPIError(proxmox.Request{Method: "edit", Path: "configuration file"}, 500, "CT is locked ("+lock+")", nil)
}

// render writes the file with other raw lines in its first section.
func render(f *conffile.File, want []proxmox.RawLine) []byte {
	var b bytes.Buffer
	main := slices.Clone(f.Sections[0].Lines)
	main = slices.DeleteFunc(main, func(l conffile.Line) bool {
		return l.Kind == conffile.Raw && proxmox.CheckRawKey(l.Key) == nil && l.Key != envKey
	})
	end := len(main) // of what is written before the raw lines: blank lines part the section from the next
	for end > 0 && main[end-1].Kind == conffile.Blank {
		end--
	}
	for _, l := range main[:end] {
		b.WriteString(l.Text)
	}
	if end > 0 && len(want) > 0 && !strings.HasSuffix(main[end-1].Text, "\n") {
		b.WriteByte('\n')
	}
	for _, l := range want {
		b.WriteString(l.String() + "\n")
	}
	for _, l := range main[end:] {
		b.WriteString(l.Text)
	}
	for _, s := range f.Sections[1:] {
		for _, l := range s.Lines {
			b.WriteString(l.Text)
		}
	}
	return b.Bytes()
}

// envKey is the raw key in whose lines Proxmox keeps the setting env.
const envKey = "lxc.environment.runtime"
