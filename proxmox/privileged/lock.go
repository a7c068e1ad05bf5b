package privileged

import "github.com/felhom/tend/proxmox"

// MayHold reports whether a task that runs could be the one that holds the lock of an unlock, as [proxmox.MayHold] says.
func MayHold(r Unlock, task proxmox.UPID) bool { return proxmox.MayHold(r.Lock, r.Ref.ID, task) }
