package app

import (
	"fmt"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify tells systemd, where it is there: it sees the rest without being told, only later.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

func beat() { notify(daemon.SdNotifyWatchdog) }

// reloading tells systemd that the configuration is read again, with the time that it asks for where it sent the signal
// itself (Type=notify-reload: systemd.service(5), sd_notify(3)).
func reloading() {
	state := daemon.SdNotifyReloading
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		state = fmt.Sprintf("%s\nMONOTONIC_USEC=%d", state, now.Nano()/1000)
	}
	notify(state)
}

// reloaded tells systemd that this is over, and in a line how the agent does; empty: well.
func reloaded(status string) { notify(daemon.SdNotifyReady + "\nSTATUS=" + status) }
