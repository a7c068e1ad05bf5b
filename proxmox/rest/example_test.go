package rest_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
)

// Give a container more memory and start it.
func Example() {
	t, err := rest.New(rest.Options{
		Endpoint:    "pve1",
		Token:       proxmox.NewSecret(os.Getenv("TEND_TOKEN")),
		Fingerprint: os.Getenv("TEND_FINGERPRINT"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.Close()
	if err := grow(context.Background(), proxmox.NewClient(t)); err != nil {
		fmt.Println(err)
	}
}

func grow(ctx context.Context, c *proxmox.Client) error {
	web := proxmox.Ref{Node: "pve1", ID: 101}
	cfg, err := c.Config(ctx, web)
	if err != nil {
		return err
	}
	update := proxmox.Update{Set: proxmox.Values{"memory": "2048"}, Digest: cfg.Digest}
	if err := c.SetConfig(ctx, web, update); err != nil {
		return err
	}
	task, err := c.Start(ctx, web)
	switch {
	case errors.Is(err, proxmox.ErrAlready): // it runs
		return nil
	case err != nil:
		return err
	}
	_, err = c.WaitTask(ctx, task, proxmox.WaitOptions{})
	return err
}
