package house

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unitFiles are the systemd units, by name.
func unitFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root(t), "packaging/systemd/*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no unit found: %v", err)
	}
	out := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(text)
	}
	return out
}

// TestUnits lets systemd read the units: it says nothing about them, and the agent is as good as walled in.
func TestUnits(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd is not installed here, which alone can say whether it understands the units")
	}
	dir, old := t.TempDir(), version(t, tool) < 253
	var paths []string
	for name, text := range unitFiles(t) {
		path := filepath.Join(dir, name)
		text = strings.ReplaceAll(text, "/usr/bin/tend", "/bin/true") // it must be there, and is not on this machine
		if old {                                                      // Proxmox VE 9 has 257; this machine knows the type by its older name alone
			text = strings.ReplaceAll(text, "Type=notify-reload\n", "Type=notify\n")
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if out, err := exec.Command(tool, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for name, limit := range map[string]string{"tend.service": "20", "tend-helper.service": "75"} { // tenths
		out, err := exec.Command(tool, "security", "--offline=yes", "--no-pager", "--threshold="+limit, filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Errorf("security of %s: %v\n%s", name, err, out)
		}
	}
}

// version is that of systemd.
func version(t *testing.T, tool string) int {
	t.Helper()
	out, err := exec.Command(tool, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if _, err := fmt.Sscanf(string(out), "systemd %d", &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return v
}

// TestHelperMounts sees that the helper stays among the mounts of the node. Each of these settings gives a service mounts
// of its own, and what is mounted there does not show outside (systemd.exec(5), MountFlags): a volume on ZFS, or a
// network storage, that pct mounts for a new container would be mounted where nobody else sees it.
func TestHelperMounts(t *testing.T) {
	own := []string{
		"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC", "PrivateUsers", "ProtectProc", "ProcSubset",
		"ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectHostname", "DynamicUser",
		"ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "TemporaryFileSystem", "BindPaths",
		"BindReadOnlyPaths", "RootDirectory", "RootImage", "MountImages", "ExtensionImages", "MountFlags", "LoadCredential", "SetCredential",
	}
	for line := range strings.Lines(unitFiles(t)["tend-helper.service"]) {
		if name, _, ok := strings.Cut(line, "="); ok && slices.Contains(own, name) {
			t.Errorf("tend-helper.service: %s gives the helper mounts of its own", strings.TrimSpace(line))
		}
	}
}
