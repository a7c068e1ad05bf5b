package config

import "fmt"

// A RootLane says who does what only root@pam may do.
type RootLane string

// The lanes.
const (
	LaneOff    RootLane = "off"    // nobody: such changes are blocked
	LaneDirect RootLane = "direct" // tend itself, which runs as root on the node
	LaneHelper RootLane = "helper" // tend helper, which runs as root on the node, through its socket
)

// DefaultHelper is the socket of the helper, as its systemd unit makes it.
const DefaultHelper = "/run/tend/helper.sock"

// parseLane reads a lane; absent is empty, which means off, or for the sandbox direct.
func parseLane(v Value) (RootLane, error) {
	switch l := RootLane(v.Text); l {
	case "", LaneOff, LaneDirect, LaneHelper:
		return l, nil
	}
	return "", fmt.Errorf("%s: %q is none of off, direct, helper", v.place(), v.Text)
}
