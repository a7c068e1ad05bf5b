package proxmox_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// simulated is a transport to a simulated node. Package rest has the one to a real node.
func simulated() proxmox.Transport {
	st, err := sim.ParseState([]byte(`
cluster: {name: null, quorate: true}
nodes: {pve1: {ip: 192.168.1.10, cpus: 4, memory: 16G}}
storages: {local: {type: dir, path: /var/lib/vz, content: [rootdir, vztmpl], total: 100G}}
templates: {"local:vztmpl/debian.tar.zst": {size: 129710398, ostype: debian}}
`))
	if err != nil {
		log.Fatal(err)
	}
	s, err := sim.New(st, sim.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return s.As("root@pam")
}

// A container is made, started and looked at. What Proxmox runs as a task has succeeded only once the task has.
func Example() {
	ctx := context.Background()
	c := proxmox.NewClient(simulated())
	web := proxmox.Ref{Node: "pve1", ID: 101}

	task, err := c.Create(ctx, web.Node, proxmox.CreateParams{
		ID: web.ID, Template: "local:vztmpl/debian.tar.zst",
		Values: proxmox.Values{"hostname": "web", "rootfs": "local:8", "memory": "1024", "unprivileged": "1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.WaitTask(ctx, task, proxmox.WaitOptions{}); err != nil {
		log.Fatal(err) // a *TaskError with the end of the task's log
	}
	if task, err = c.Start(ctx, web); err != nil {
		log.Fatal(err)
	}
	if _, err := c.WaitTask(ctx, task, proxmox.WaitOptions{}); err != nil {
		log.Fatal(err)
	}
	list, err := c.Containers(ctx, "pve1")
	if err != nil {
		log.Fatal(err)
	}
	for _, ct := range list {
		fmt.Println(ct.ID, ct.Name, ct.Status)
	}
	// Output: 101 web running
}

// A change is made on the configuration that it was planned on: the digest keeps it from undoing what somebody else
// has changed meanwhile.
func ExampleClient_SetConfig() {
	ctx := context.Background()
	c := proxmox.NewClient(simulated())
	web := proxmox.Ref{Node: "pve1", ID: 101}
	task, err := c.Create(ctx, web.Node, proxmox.CreateParams{
		ID: web.ID, Template: "local:vztmpl/debian.tar.zst", Values: proxmox.Values{"rootfs": "local:8"},
	})
	if err == nil {
		_, err = c.WaitTask(ctx, task, proxmox.WaitOptions{})
	}
	if err != nil {
		log.Fatal(err)
	}

	cfg, err := c.Config(ctx, web)
	if err != nil {
		log.Fatal(err)
	}
	set := proxmox.Update{Set: proxmox.Values{"cores": "2"}, Digest: cfg.Digest}
	fmt.Println(c.SetConfig(ctx, web, set))

	set.Set = proxmox.Values{"cores": "4"} // with the digest of before
	err = c.SetConfig(ctx, web, set)
	fmt.Println(errors.Is(err, proxmox.ErrModified))
	// Output:
	// <nil>
	// true
}
