package view

import (
	"io"
	"strings"
)

// An Endpoint is a simulated cluster that listens.
type Endpoint struct {
	URL, Fingerprint, State string
	Ephemeral               bool
	Tokens                  []string // names, without secrets
}

// Simulating says how a client gets at the simulator.
func Simulating(w io.Writer, e Endpoint) error {
	out := &printer{w: w}
	out.line("endpoint     %s", e.URL)
	out.line("fingerprint  %s", e.Fingerprint)
	kept := "every change is written back"
	if e.Ephemeral {
		kept = "never written back; SIGHUP reads it anew"
	}
	out.line("state        %s (%s)", e.State, kept)
	out.line("tokens       %s (their secrets stand in the state file)", strings.Join(e.Tokens, ", "))
	out.line("")
	out.line("tend plan --endpoint %s --fingerprint %s --token-file FILE", e.URL, e.Fingerprint)
	return out.err
}
