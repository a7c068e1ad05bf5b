package setting

// Parts of a device.
var (
	DeviceMode = Key[string]{
		Path: "mode", PVE: "mode", Type: Pattern("octal mode in quotes, as in \"0660\"", `0[0-7]{3}`), Example: `"0600"`,
		Absent: new("0660"), Default: new("0660"), Doc: "Access mode of the device in the container, in octal.",
	}
	DeviceUID = Key[int64]{
		Path: "uid", PVE: "uid", Type: Integer(0, 1<<32-1), Absent: new(int64(0)), Default: new(int64(0)), Label: "user id",
		Doc: "User id of the device's owner in the container.", Example: "1000",
	}
	DeviceGID = Key[int64]{
		Path: "gid", PVE: "gid", Type: Integer(0, 1<<32-1), Absent: new(int64(0)), Default: new(int64(0)), Label: "group id",
		Doc: "Group id of the device in the container.", Example: "104",
	}
	DenyWrite = Key[bool]{
		Path: "denyWrite", PVE: "deny-write", Type: Boolean(), Absent: new(false), Default: new(false),
		Doc: "Refuse writing to the device.", Example: "true",
	}
	DevicePath = Key[string]{
		Path: "device", PVE: "path", Type: Text("path below /dev", checkDevicePath), Required: true, Doc: "device's path on the node",
	}
)

// Devices is dev0 to dev255.
var Devices = &Family{
	Path: "devices", PVE: "dev", Max: 255, Identity: DevicePath, Label: "device",
	Doc:     "Devices of the node that the container may use, by their path.",
	Example: `{/dev/dri/renderD128: {gid: 104, mode: "0660"}}`,
	Member: Object{
		Name: "device", DefaultKey: "path", Rows: []Row{DeviceMode, DeviceUID, DeviceGID, DenyWrite},
		Summary: func(r Record) string {
			return joinParts([]string{
				DeviceMode.Or(r, "0660"), "user " + DeviceUID.Text(DeviceUID.Or(r, 0)),
				"group " + DeviceGID.Text(DeviceGID.Or(r, 0)), partText(DenyWrite, r),
			})
		},
	},
	OnEdit: func(old, new *Record, _ int, f Facts) Effect {
		if old == nil {
			return Online
		}
		return afterStop(old, new, f)
	},
	MayEdit: func(_, _ *Record, _ Facts) Access {
		return Access{
			Root: true, Reason: "devices are for root@pam",
			Refusal: "Permission check failed (configuring device passthrough is only allowed for root@pam)",
		}
	},
	Running: "online to add; else restart", Lane: "root",
}
