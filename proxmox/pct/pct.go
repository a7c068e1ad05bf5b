// Package pct reads command lines of Proxmox's tool pct: "pct create" and "pct set", as people write them
// down in notes and scripts.
//
// It splits words as a shell does but runs nothing and expands nothing: what would need a shell (variables,
// substitutions, pipes) is an error that says so. It does no I/O.
package pct

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Container is what commands say about one container.
type Container struct {
	ID       proxmox.VMID
	Template string // volume or file of the template
	Values   proxmox.Values
	Options  map[string]string // options of the call that are no settings, by name: "storage", "start", "pool"
}

// options are the parameters of pct create and pct set that are no settings of the container
// (pve-container API2/LXC.pm create_vm, CLI/pct.pm).
var options = []string{
	"bwlimit", "force", "ignore-unpack-errors", "password", "pool", "restore", "ssh-public-keys", "start",
	"storage", "unique", "ha-managed", "digest", "revert",
}

// Parse reads a text with any number of commands, one or more for each container: "pct create" makes one,
// "pct set" changes it, "pct start" starts it. Other lines are errors, but for comments and empty ones.
func Parse(text string) ([]Container, error) {
	lines, err := split(text)
	if err != nil {
		return nil, err
	}
	var out []Container
	var errs []error
	for _, l := range lines {
		if err := command(&out, l.words); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", l.number, err))
		}
	}
	if len(errs) == 0 && len(out) == 0 {
		return nil, errors.New("there is no pct create command")
	}
	return out, errors.Join(errs...)
}

// command carries one command out on the containers read so far.
func command(all *[]Container, words []string) error {
	if words[0] == "sudo" && len(words) > 1 {
		words = words[1:]
	}
	if len(words) < 3 || path.Base(words[0]) != "pct" {
		return fmt.Errorf("%q is not a pct command: write pct create ID TEMPLATE --option value …", words[0])
	}
	n, err := strconv.Atoi(words[2])
	id := proxmox.VMID(n)
	if err != nil || id < proxmox.MinVMID || id > proxmox.MaxVMID {
		return fmt.Errorf("%q is not a VMID", words[2])
	}
	at := slices.IndexFunc(*all, func(c Container) bool { return c.ID == id })
	c, rest := Container{ID: id, Values: proxmox.Values{}, Options: map[string]string{}}, words[3:]
	switch words[1] {
	case "create":
		if at >= 0 {
			return fmt.Errorf("container %d is created twice", id)
		}
		if len(rest) == 0 || rest[0] == "" || strings.HasPrefix(rest[0], "-") {
			return errors.New("the template is missing: write pct create ID TEMPLATE --option value …")
		}
		c.Template, rest = rest[0], rest[1:]
	case "set", "start":
		if at < 0 {
			return fmt.Errorf("container %d is meant, but no pct create stands before it", id)
		}
		c = (*all)[at]
		c.Values, c.Options = maps.Clone(c.Values), maps.Clone(c.Options)
		if words[1] == "start" {
			c.Options["start"] = "1"
			rest = nil
		}
	default:
		return fmt.Errorf("pct %s says nothing about settings: only create, set and start are read", words[1])
	}
	if err := c.apply(rest); err != nil {
		return err
	}
	if at >= 0 {
		(*all)[at] = c
	} else {
		*all = append(*all, c)
	}
	return nil
}

// apply reads options: "--name value", "--name=value" or either with one hyphen, as Getopt::Long takes them.
// An option without a value is a boolean that is on.
func (c *Container) apply(words []string) error {
	for i := 0; i < len(words); i++ {
		name, ok := strings.CutPrefix(words[i], "-")
		if !ok {
			return fmt.Errorf("%q is not an option: options begin with --", words[i])
		}
		name = strings.TrimPrefix(name, "-")
		name, value, found := strings.Cut(name, "=")
		switch {
		case name == "":
			return fmt.Errorf("%q is not an option", words[i])
		case found:
		case i+1 < len(words) && !isOption(words[i+1]):
			i++
			value = words[i]
		default:
			value = "1"
		}
		c.set(name, value)
	}
	return nil
}

// isOption tells options from values: "-1" is a value.
func isOption(word string) bool {
	rest := strings.TrimLeft(word, "-")
	return rest != word && rest != "" && (rest[0] < '0' || rest[0] > '9')
}

func (c *Container) set(name, value string) {
	name = strings.ReplaceAll(name, "_", "-")
	switch {
	case name == "delete":
		for _, key := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(",; ", r) }) {
			delete(c.Values, key)
		}
	case slices.Contains(options, name):
		c.Options[name] = value
	default:
		c.Values[name] = value
	}
}
