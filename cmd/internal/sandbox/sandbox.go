// Package sandbox gives tend a cluster of its own to try things on: the simulator, in this process, with its state
// in a file. Nothing of it reaches a network.
package sandbox

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// DefaultFile is where the state is kept unless another file is named.
const DefaultFile = ".tend/sandbox.yaml"

// user is the token as which tend acts. It stands in the start state, but a file of somebody's own may lack it.
const user = "root@pam!sandbox"

//go:embed start.yaml
var start []byte

// Start returns the state that a new sandbox begins with.
func Start() []byte { return append([]byte(nil), start...) }

// A Sandbox is a simulated cluster in this process.
type Sandbox struct {
	sim    *sim.Sim
	File   string
	tokens []string
	nodes  []string
}

// Open opens the sandbox of a file for tend itself, and makes the file where there is none.
func Open(file string, log *slog.Logger) (*Sandbox, error) {
	return open(file, func(st *sim.State) sim.Options {
		addUser(st)
		return sim.Options{File: file, Logger: log}
	})
}

// Serve opens the sandbox of a file for any client; see [Sandbox.Listen]. What is ephemeral is never written back.
func Serve(file string, ephemeral bool, o sim.Options) (*Sandbox, error) {
	o.File = file
	if ephemeral {
		o.File = ""
	}
	return open(file, func(*sim.State) sim.Options { return o })
}

func open(file string, options func(*sim.State) sim.Options) (*Sandbox, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := create(file); err != nil {
			return nil, fmt.Errorf("make the sandbox: %w", err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox: %w", err)
	}
	st, err := sim.ParseState(raw)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox %s: %w", file, err)
	}
	b := &Sandbox{File: file, nodes: slices.Sorted(maps.Keys(st.Nodes))}
	o := options(st)
	for name, u := range st.Users {
		for id := range u.Tokens {
			b.tokens = append(b.tokens, name+"!"+id)
		}
	}
	slices.Sort(b.tokens)
	if b.sim, err = sim.New(st, o); err != nil {
		return nil, fmt.Errorf("open the sandbox %s: %w", file, err)
	}
	return b, nil
}

// Tokens are the API tokens that the cluster knows, without their secrets, which stand in the file.
func (s *Sandbox) Tokens() []string { return s.tokens }

// Listen serves the cluster over HTTPS.
func (s *Sandbox) Listen(addr string) (*sim.Server, error) { return s.sim.Serve(addr) }

// create writes the start state. A file that appeared meanwhile is left as it is.
func create(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(start)
	return errors.Join(err, f.Close())
}

// addUser gives the state the token as which tend acts, should it lack it.
func addUser(st *sim.State) {
	root := st.Users["root@pam"]
	if root.Tokens["sandbox"] != nil {
		return
	}
	if root.Tokens == nil {
		root.Tokens = map[string]*sim.Token{}
	}
	root.Tokens["sandbox"] = &sim.Token{Secret: proxmox.NewSecret("5a4db07e-0000-4000-8000-000000000000"), Comment: "for --sandbox"}
}

// Transport carries requests to the sandbox as an API token: what a token may not do on a node it may not do here.
func (s *Sandbox) Transport() proxmox.Transport { return s.sim.As(user) }

// Roots is root's shell on each node, by the node's name.
func (s *Sandbox) Roots() map[string]*sim.Root {
	out := map[string]*sim.Root{}
	for _, node := range s.nodes {
		out[node] = s.sim.Root(node)
	}
	return out
}

// Close ends the simulator. The file is up to date at all times.
func (s *Sandbox) Close() { s.sim.Close() }
