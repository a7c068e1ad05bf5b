package app

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/install"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

// Streams are everything that the program sees of its surroundings besides files and the network.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string

	InTerminal, OutTerminal, ErrTerminal bool
	// Width is that of the terminal; 0 where there is none.
	Width int
	// Signals tells the channel of SIGINT, SIGTERM and SIGHUP, and stop ends that; nil: there are none.
	Signals func() (c <-chan os.Signal, stop func())
	// Backend is where tend helper acts as root; nil: this machine, if it is a node. Only tests have another.
	Backend func() (lane.Backend, error)
	// Install is the node that tend install sets up, and the directory that its files are below; nil: this machine, if it
	// is a node. Only tests have another.
	Install func() (n install.Node, root string)

	colour string // --color
	logs   *logs  // of all loggers; nil: none was made yet
}

// System is the surroundings of a process.
func System() Streams {
	is := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	s := Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv,
		InTerminal: is(os.Stdin), OutTerminal: is(os.Stdout), ErrTerminal: is(os.Stderr),
		Signals: systemSignals,
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && s.Width == 0 {
			s.Width = w
		}
	}
	return s
}

func systemSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// width is $COLUMNS, the terminal's, or that of a page.
func (s *Streams) width() int {
	if n, err := strconv.Atoi(s.Env("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return s.Width
}

// coloured follows --color, then NO_COLOR (no-color.org), then whether it is a terminal.
func (s *Streams) coloured(terminal bool) bool {
	switch s.colour {
	case "always":
		return true
	case "never":
		return false
	}
	return terminal && s.Env("NO_COLOR") == "" && s.Env("TERM") != "dumb"
}

func (s *Streams) style() view.Style {
	return view.Style{Width: s.width(), Colour: s.coloured(s.OutTerminal)}
}

func (s *Streams) errStyle() view.Style {
	return view.Style{Width: s.width(), Colour: s.coloured(s.ErrTerminal)}
}

// logger writes what is for operators, mostly to the standard error; what is for the person at the terminal takes the
// way over package view.
func (s *Streams) logger(c *config.Config, to io.Writer) *slog.Logger {
	if s.logs == nil {
		s.logs = &logs{}
	}
	s.logs.set(c)
	o := &slog.HandlerOptions{Level: &s.logs.level}
	return slog.New(logHandler{s.logs, slog.NewTextHandler(to, o), slog.NewJSONHandler(to, o)})
}

// settings gathers the configuration from the flags of a verb, the environment and the file.
func (s *Streams) settings(cmd *cobra.Command) (*config.Config, error) {
	src := config.Sources{Flags: map[string]string{}, Env: s.Env}
	src.File, _ = cmd.Flags().GetString("config")
	for _, row := range config.Settings() {
		if f := cmd.Flags().Lookup(row.Flag); f != nil && f.Changed {
			src.Flags[row.Flag] = f.Value.String()
		}
	}
	return config.Load(src)
}

// signals is the channel of signals, which never tells anything where there are none.
func (s *Streams) signals() (<-chan os.Signal, func()) {
	if s.Signals == nil {
		return nil, func() {}
	}
	return s.Signals()
}
